//! Pages to open in a browser: one file each, which fetches nothing.
//!
//! Every text goes through a writer that escapes it, pictures are part of the page, and the page
//! forbids its browser to load anything but videos beside it.

mod compare;
mod episodes;
mod facts;
mod page;
mod run;

pub use compare::compare_page;
pub use run::run_page;
