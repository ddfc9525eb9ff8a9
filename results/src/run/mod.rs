//! Run directories: their files, how they are read and merged, and what differs between two.

pub mod benchmarks;
pub mod differences;
pub mod evidence;
pub mod files;
pub mod manifest;
pub mod merge;
pub mod read;
pub mod record;
pub mod timeline;
