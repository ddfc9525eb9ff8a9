//! Run directories: their files, how they are read and merged, and what differs between two.

pub mod actions;
mod at_start;
pub mod benchmarks;
pub mod damage;
pub mod differences;
pub mod evidence;
pub mod files;
mod lines;
pub mod locked;
pub mod manifest;
pub mod merge;
pub mod merged;
pub mod part;
pub mod read;
pub mod record;
pub mod seal;
pub mod timeline;
