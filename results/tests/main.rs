//! Tests of the run directory's reader, the statistics, the tables, the plots and the report.

mod analysis;
mod browser;
mod build;
mod damage;
mod early;
mod exercise;
mod exports;
mod hostile;
mod html;
mod instructions;
mod mutate;
mod paper;
mod paper_tables;
mod plots;
mod read;
mod report;
mod snapshots;
mod statistics;
mod subtasks;
mod tables;
mod timelines;
mod verdicts;
