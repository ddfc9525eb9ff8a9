//! Episode records, statistics, tables and plots.
//!
//! The tables are pure functions of a run directory's `run.json` and `episodes.jsonl`. Neither
//! Python nor libtorch is needed.
//!
//! Each module uses only those before it:
//!
//! 1. [`statistics`]: estimates with intervals, tests, sample sizes.
//! 2. [`run`]: what a run directory holds, reading and merging it.
//! 3. [`paper`]: the published numbers.
//! 4. [`tables`]: a run in numbers next to the published ones, as tables.
//! 5. [`compare`]: two runs, gates, early stopping, audits of published tables.
//! 6. [`out`]: text, plots, HTML pages and files for other tools.

pub mod compare;
pub mod out;
pub mod paper;
pub mod run;
pub mod statistics;
pub mod tables;
