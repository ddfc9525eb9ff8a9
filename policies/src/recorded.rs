//! Where tests find recorded outputs of the released code.

use std::path::PathBuf;

/// `UDVLA_GOLDEN`, or the directory in the repository.
pub(crate) fn directory() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/recorded");
    std::env::var_os("UDVLA_GOLDEN").map_or_else(|| own.into(), PathBuf::from)
}
