//! Statistics of evaluations: estimates with 95 % intervals, tests, margins, sample sizes.
//!
//! An [`Estimate`] is a number with its interval; tests return p values; [`margins`] turns an
//! interval into a decision; [`power`] computes how many episodes that takes, and [`sequential`]
//! when fewer are enough. Nothing here depends on records, and all random numbers are fixed by the
//! inputs.
//!
//! ```
//! use udvla_results::statistics::wilson;
//!
//! let rate = wilson(476, 500).expect("there are episodes");
//! assert_eq!(format!("{:.3} [{:.3}, {:.3}]", rate.value, rate.low, rate.high),
//!            "0.952 [0.930, 0.968]");
//! ```

mod bootstrap;
mod estimate;
mod estimates;
mod holm;
mod intervals;
pub mod margins;
pub mod newcombe;
mod paired;
pub mod power;
pub mod random;
pub mod sequential;
mod unpaired;

pub use bootstrap::{average_length, stratified_mean};
pub use estimate::Estimate;
pub use estimates::{
    Length, Rate, difference, nearest_different_length, nearest_different_mean, suites_mean,
};
pub use holm::holm;
pub use intervals::wilson;
pub use paired::{
    PairedCounts, mcnemar, mcnemar_mid_p, paired_difference, paired_difference_p,
    paired_length_difference,
};
pub use unpaired::{Side, TwoSamples, boschloo, fisher};
