//! Tells the linker where this package's tests find libtorch, and the crate its version.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(library) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{library}");
    let version = version(Path::new(&library)).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=UDVLA_LIBTORCH_VERSION={version}");
}

/// The version that the wheel's `version.py` beside the library folder names.
fn version(library: &Path) -> Option<String> {
    let text = std::fs::read_to_string(library.parent()?.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_owned())
}
