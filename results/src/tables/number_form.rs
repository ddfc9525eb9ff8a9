//! Numbers as cells of the paper's tables.

use super::format;
use super::model::Cell;
use crate::paper::Measure;
use crate::statistics::{Estimate, Rate};

/// How a column prints its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberForm {
    Share,
    Percent,
    Length,
}

impl NumberForm {
    pub(super) fn of(measure: Measure) -> Self {
        match measure {
            Measure::Share => Self::Share,
            Measure::Percent => Self::Percent,
        }
    }

    /// The form of the last column.
    pub(super) fn of_average(measure: Measure) -> Self {
        match measure {
            Measure::Share => Self::Length,
            Measure::Percent => Self::Percent,
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Share => format::share(Some(value)),
            Self::Percent => format::percent(Some(value)),
            Self::Length => format::length(Some(value)),
        }
    }

    /// The value of a printed number.
    fn value(self, printed: f64) -> f64 {
        if self == Self::Percent { printed / 100.0 } else { printed }
    }

    /// `cell` with the number as printed, which may be truncated instead of rounded.
    pub(super) fn printed_as(self, printed: f64, cell: Cell) -> Cell {
        Cell { printed: self.text(self.value(printed)), ..cell }
    }

    /// A number with its interval and counts.
    pub(super) fn cell(self, estimate: Estimate, counts: Option<(u32, u32)>) -> Cell {
        let (successes, n) = counts.unzip();
        Cell { successes, n, ..Cell::estimate(estimate, |value| self.text(value)) }
    }

    /// A printed number without an interval.
    pub(super) fn bare(self, printed: f64) -> Cell {
        let value = self.value(printed);
        Cell { value: Some(value), ..Cell::text(self.text(value)) }
    }

    pub(super) fn rate(self, rate: Rate) -> Option<Cell> {
        Some(self.cell(rate.estimate?, Some((rate.successes, rate.n))))
    }
}
