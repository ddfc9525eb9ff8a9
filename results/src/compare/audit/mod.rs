//! Whether published tables can be true: counts, averages, ratios, and differences within noise.

pub mod csv;
mod findings;
pub mod printed;

pub use findings::{Contrast, Finding, audit, contrasts};
