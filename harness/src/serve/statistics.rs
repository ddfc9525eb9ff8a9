//! What a server did, for its summary.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use udvla_results::tables::format::plural;

use crate::report::PolicyRemark;

/// Microseconds of the longest time that is told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Counts and times since the server began.
#[derive(Debug)]
pub struct Statistics {
    /// Clients that got a WebSocket.
    pub connections: u32,
    /// Observations that were answered.
    pub requests: u32,
    /// Messages that were refused.
    pub faults: u32,
    batches: u32,
    rows: u32,
    /// Microseconds from an observation to its chunk, to three digits.
    times: Histogram<u64>,
    /// By kind.
    remarks: BTreeMap<&'static str, u32>,
}

impl Default for Statistics {
    fn default() -> Self {
        let times = Histogram::new_with_max(LONGEST, 3).expect("three digits are possible");
        let (connections, requests, faults, batches, rows) = (0, 0, 0, 0, 0);
        let remarks = BTreeMap::new();
        Self { connections, requests, faults, batches, rows, times, remarks }
    }
}

impl Statistics {
    /// Counts a batch; returns the remarks that are the first of their kind.
    pub fn batch(&mut self, rows: usize, remarks: Vec<PolicyRemark>) -> Vec<PolicyRemark> {
        self.batches += 1;
        self.rows += rows as u32;
        let mut is_first = |remark: &PolicyRemark| {
            let count = self.remarks.entry(remark.remark.kind).or_default();
            *count += 1;
            *count == 1
        };
        remarks.into_iter().filter(|remark| is_first(remark)).collect()
    }

    /// Counts the time of a chunk, from the observation to the answer.
    pub fn chunk(&mut self, time: Duration) {
        self.times.saturating_record(time.as_micros() as u64);
    }
}

/// For example `3 connections, 40 requests, 4 chunks in 2 batches of 2.0 rows; a chunk took 95 ms
/// (p50), 120 ms (p95)`.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connections, requests] =
            [(self.connections, "connection"), (self.requests, "request")]
                .map(|(count, noun)| plural(count, noun));
        write!(f, "{connections}, {requests}")?;
        if self.batches > 0 {
            let chunks = plural(self.rows, "chunk");
            let rows = f64::from(self.rows) / f64::from(self.batches);
            let noun = if self.batches == 1 { "batch" } else { "batches" };
            write!(f, ", {chunks} in {} {noun} of {rows:.1} rows", self.batches)?;
        }
        if !self.times.is_empty() {
            let [p50, p95] = [0.5, 0.95].map(|q| self.times.value_at_quantile(q) as f64 / 1e3);
            write!(f, "; a chunk took {p50:.0} ms (p50), {p95:.0} ms (p95)")?;
        }
        if self.faults > 0 {
            write!(f, "; {} refused", plural(self.faults, "message"))?;
        }
        for (kind, count) in &self.remarks {
            write!(f, "; {kind}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use udvla_policies::Remark;
    use udvla_sims::episode::EpisodeKey;

    use super::*;

    #[test]
    fn the_summary_has_rows_per_batch_and_percentiles() {
        let mut statistics = Statistics { connections: 1, requests: 40, ..Statistics::default() };
        assert_eq!(statistics.to_string(), "1 connection, 40 requests");
        let key = EpisodeKey { suite: "openpi".into(), task: 0, trial: 0 };
        let remark = Remark { kind: "no-end", text: String::new() };
        let remark = PolicyRemark { key, call: 0, remark };
        assert_eq!(statistics.batch(3, vec![remark.clone(), remark.clone()]).len(), 1);
        assert_eq!(statistics.batch(2, vec![remark]).len(), 0);
        (1..=100).for_each(|ms| statistics.chunk(Duration::from_millis(ms)));
        statistics.faults = 2;
        let expected = "1 connection, 40 requests, 5 chunks in 2 batches of 2.5 rows; \
                        a chunk took 50 ms (p50), 95 ms (p95); 2 messages refused; no-end: 3";
        assert_eq!(statistics.to_string(), expected);
    }
}
