//! Statistics of evaluations: estimates with 95 % intervals, tests, margins, sample sizes.
//!
//! An [`Estimate`] is a number with its interval, whichever way it was made; tests answer with
//! p values; [`margins`] turns an interval into a decision; [`power`] says how many episodes
//! that takes, and [`sequential`] when fewer are enough. Nothing here looks at records, and nothing draws random numbers that the inputs
//! do not fix.

mod bootstrap;
mod estimates;
mod intervals;
mod many;
pub mod margins;
mod paired;
pub mod power;
pub mod sequential;
mod unpaired;

pub use bootstrap::{average_length, stratified_mean};
pub use estimates::{Estimate, Length, Rate, difference, suites_mean};
pub use intervals::{clopper_pearson, jeffreys, one_sided_bound, wilson};
pub use many::holm;
pub use paired::{Pairs, mcnemar, mcnemar_mid_p, paired_difference, paired_length_difference};
pub use unpaired::{Side, TwoSamples, boschloo, fisher};
