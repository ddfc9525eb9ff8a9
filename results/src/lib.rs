//! Episode records, statistics, tables and plots.
//!
//! `episodes.jsonl` of a run directory is the truth; everything here is a pure function of it
//! and of `run.json`. Neither Python nor libtorch is needed.
//!
//! [`read`] turns a directory into a [`read::Run`], [`summary`] turns that into numbers beside
//! those of [`paper`], [`table`], [`render`], [`plots`] and [`html`] turn the numbers into text,
//! pictures and pages, and [`report`] does it all and writes the files.
//!
//! [`merge`] joins run directories, [`paper_tables`] puts their rows into the paper's tables,
//! [`compare`] sets two runs side by side, [`gate`] decides, and [`audit`] asks of any printed
//! table ([`printed`]) whether it can be true. [`exports`] writes files for other tools, and
//! [`imports`] reads theirs for [`compare_rates`].

pub mod audit;
pub mod audit_csv;
pub mod caption;
pub mod compare;
pub mod compare_rates;
mod components;
pub mod counts;
pub mod differences;
pub mod early;
pub mod exports;
pub mod figures;
pub mod gate;
pub mod html;
pub mod imports;
pub mod manifest;
pub mod merge;
mod notes;
pub mod other_rule;
pub mod paper;
pub mod paper_tables;
pub mod plots;
pub mod printed;
pub mod read;
pub mod record;
pub mod render;
pub mod report;
pub mod statistics;
pub mod subtasks;
pub mod summary;
pub mod table;
mod variants;
pub mod verdict;
