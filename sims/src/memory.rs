//! A limit for the memory of a worker and of what it started.

use std::time::{Duration, Instant};

use crate::error::SimError;
use crate::tree;

/// How often a worker in a request is measured.
const PERIOD: Duration = Duration::from_millis(500);

/// The limit, and the last measurement.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    resident: u64,
    measured: Instant,
}

impl Memory {
    /// A limit in bytes of resident memory.
    pub fn new(limit: u64) -> Self {
        Self { limit, resident: 0, measured: Instant::now() }
    }

    /// What `process` and its descendants take now, if it is more than the limit.
    pub fn above(&mut self, process: u32) -> Option<u64> {
        self.measure(process);
        (self.resident > self.limit).then_some(self.resident)
    }

    /// Whether they take more than 1.5 times the limit; measured twice a second at most.
    pub fn is_far_above(&mut self, process: u32) -> bool {
        if self.measured.elapsed() >= PERIOD {
            self.measure(process);
        }
        self.resident > self.limit.saturating_add(self.limit / 2)
    }

    /// The error for a worker that is far above.
    pub fn error(&self) -> SimError {
        SimError::Memory { resident: self.resident, limit: self.limit }
    }

    fn measure(&mut self, process: u32) {
        self.resident = tree::resident_bytes(process);
        self.measured = Instant::now();
    }
}
