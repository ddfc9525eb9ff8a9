//! Time per phase of a decision.

use std::time::Duration;

use tch::{Cuda, Device};

/// A clock reading, or the difference of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Wall-clock time.
    pub wall: Duration,
    /// CPU time of this process, all threads.
    pub processor: Duration,
}

/// Time per phase of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Resizing, vision tokenizer, text tokenizer.
    pub encode: Reading,
    /// Caches of the prompts.
    pub prefill: Reading,
    /// All denoising steps, or all left-to-right decoding.
    pub denoise: Reading,
    /// Ids to actions and images.
    pub decode: Reading,
}

/// Lap times of work on a device.
pub(super) struct Stopwatch<'a> {
    device: Device,
    clock: &'a dyn Fn() -> Reading,
    last: Reading,
}

impl<'a> Stopwatch<'a> {
    /// Starts now.
    pub fn start(device: Device, clock: &'a dyn Fn() -> Reading) -> Self {
        Self { device, clock, last: clock() }
    }

    /// Time since the last lap, after waiting for the device.
    pub fn lap(&mut self) -> Reading {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(index as i64);
        }
        let now = (self.clock)();
        let before = std::mem::replace(&mut self.last, now);
        Reading {
            wall: now.wall.saturating_sub(before.wall),
            processor: now.processor.saturating_sub(before.processor),
        }
    }
}
