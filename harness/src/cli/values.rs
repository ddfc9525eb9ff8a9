//! Values of flags.

use clap::builder::PossibleValuesParser;

use crate::benchmarks::{self, Benchmark};

/// Name of a registered benchmark.
pub type BenchmarkName = String;

/// The names of the registered benchmarks.
pub(super) fn benchmark_names() -> PossibleValuesParser {
    let value = |benchmark: &&'static dyn Benchmark| {
        clap::builder::PossibleValue::new(benchmark.name()).hide(!benchmark.facts().is_listed)
    };
    PossibleValuesParser::new(benchmarks::ALL.iter().map(value))
}

/// A number of bytes with a unit: `6GiB`, `800MiB`; at least 16 MiB.
pub(super) fn memory_size(text: &str) -> Result<u64, String> {
    let expected = "expected a number and a unit, for example 6GiB or 800MiB";
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(expected)?;
    let (number, unit) = text.split_at(split);
    let bytes = match unit.trim().to_ascii_lowercase().as_str() {
        "mib" | "m" => f64::from(1 << 20),
        "gib" | "g" => f64::from(1 << 30),
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(expected.into()),
    };
    let size = number.parse::<f64>().map_err(|_| expected)? * bytes;
    let is_valid = (f64::from(16 << 20)..=f64::from(1 << 30) * 65_536.0).contains(&size);
    is_valid.then_some(size as u64).ok_or_else(|| "expected 16MiB to 65536GiB".into())
}

/// A number of seconds, above 0 and at most a day.
pub(super) fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    let is_valid = seconds > 0.0 && seconds <= 86_400.0;
    is_valid.then_some(seconds).ok_or_else(|| "expected more than 0 and at most 86400".into())
}

/// A share, from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "expected a number from 0 to 1")?;
    (0.0..=1.0).contains(&share).then_some(share).ok_or_else(|| "expected 0 to 1".into())
}

/// A number of milliseconds, at most ten seconds: such a wait is not interrupted.
pub(super) fn milliseconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of milliseconds")?;
    let is_valid = (0.0..=10_000.0).contains(&number);
    is_valid.then_some(number).ok_or_else(|| "expected 0 to 10000".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_memory_has_a_unit() {
        let sizes = ["6GiB", "6g", "1.5 GiB", "800MiB", "2GB"].map(memory_size);
        let expected = [6 << 30, 6 << 30, 3 << 29, 800 << 20, 2_000_000_000].map(Ok);
        assert_eq!(sizes, expected);
        for text in ["", "6", "GiB", "-1GiB", "6TiB", "1..5GiB", "15MiB", "99999GiB", "NaNGiB"] {
            assert!(memory_size(text).is_err(), "{text}");
        }
    }
}
