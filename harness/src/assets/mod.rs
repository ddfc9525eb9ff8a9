//! The simulators' own files (meshes, textures, scenes), which the package index does not have:
//! the list of them with hashes, a check of a folder, and the download into the data folder.

mod catalog;
mod check;
mod fetch;
mod git;

pub use catalog::{Catalog, CatalogFile};
pub use check::Faults;
pub use fetch::{Origin, fetch};
