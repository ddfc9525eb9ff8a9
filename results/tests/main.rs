//! Tests of the run directory's reader, the statistics, the tables, the plots and the report.

mod build;
mod plots;
mod read;
mod report;
mod statistics;
mod tables;
