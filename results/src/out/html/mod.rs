//! HTML pages: one self-contained file each.
//!
//! Every text is escaped, plots are part of the page, and the page's content policy forbids loading
//! anything but videos next to it.

mod compare;
mod episodes;
mod facts;
mod page;
mod run;

pub use compare::compare_page;
pub use run::run_page;
