//! Where the time of an answer goes.

use std::time::Duration;

use tch::{Cuda, Device};

/// What a clock says, or the difference of two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Time as everyone sees it.
    pub wall: Duration,
    /// What this process spent on processors, all threads together.
    pub processor: Duration,
}

/// How long each phase of an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Resizing, the vision tokenizer, the prompt.
    pub encode: Reading,
    /// The pass over what no step can change.
    pub prefill: Reading,
    /// All denoising steps.
    pub denoise: Reading,
    /// Ids to actions.
    pub decode: Reading,
}

/// Time by phases of work on a device.
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

    /// The time since the last lap, with all work that was handed to the device done.
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
