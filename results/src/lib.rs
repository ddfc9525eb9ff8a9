//! Episode records, statistics, tables and plots.
//!
//! `episodes.jsonl` of a run directory is the truth; everything here is a pure function of it
//! and of `run.json`. Neither Python nor libtorch is needed.
//!
//! [`read`] turns a directory into a [`read::Run`], [`summary`] turns that into numbers beside
//! those of [`paper`], [`table`], [`render`] and [`plots`] turn the numbers into text and
//! pictures, and [`report`] does it all and writes the files.

pub mod caption;
pub mod counts;
pub mod figures;
pub mod manifest;
pub mod paper;
pub mod plots;
pub mod read;
pub mod record;
pub mod render;
pub mod report;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod verdict;
