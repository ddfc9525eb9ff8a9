//! A run in numbers next to the published ones, as tables.

pub mod caption;
pub mod counts;
pub mod format;
pub(crate) mod labels;
pub mod model;
pub(crate) mod notes;
mod number_form;
pub mod paper_tables;
mod protocol_label;
pub mod run_tables;
mod smallest;
pub mod subtasks;
pub mod summary;
mod variants;
pub mod verdict;
