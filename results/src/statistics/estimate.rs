//! A number with its interval.

use serde::Serialize;

/// A number with its two-sided 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number itself.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// The estimate on a larger scale: all three numbers times `factor`, which is positive.
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// The estimate on a smaller scale: all three numbers divided by `scale`, which is positive.
    pub fn over(self, scale: f64) -> Self {
        Self { value: self.value / scale, low: self.low / scale, high: self.high / scale }
    }
}
