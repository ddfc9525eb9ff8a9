//! Comparisons of two runs, decisions about a run, early stopping, audits of published tables.

pub mod audit;
pub mod early;
pub mod gate;
pub mod imports;
pub mod many;
pub mod pairs;
pub mod rates;
