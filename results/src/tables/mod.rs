//! A run in numbers next to the published ones, as tables.

pub mod caption;
pub mod counts;
pub mod format;
pub mod model;
mod notes;
mod number_form;
pub mod paper_tables;
pub mod run_tables;
mod smallest;
pub mod subtasks;
pub mod summary;
mod variants;
pub mod verdict;
