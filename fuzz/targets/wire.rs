//! Frames from a worker on what libFuzzer thinks of.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../sims/tests/hostile/exercise.rs"]
mod exercise;

fuzz_target!(|data: &[u8]| {
    exercise::worker_bytes(data);
});
