//! The harness: from a command line to a run directory with tables and plots.
//!
//! ```text
//!  udvla-eval (one process)                          N × udvla-sim-worker (own environments)
//!  main = dispatcher  ◄── Event ── signals
//!     │ ▲
//!     ▼ │  Order per pool thread
//!  pool thread 0…N-1  ══ wire: reset, play a chunk ══►  Rust ── pyo3 ── adapter ── simulator
//!     │ ▲
//!     ▼ │  a queue of Questions, Answers
//!  policy thread per device: batcher ── Policy (libtorch)
//! ```
//! Each thread owns what it works on; the dispatcher alone writes records. Logs and videos are the
//! workers' own, pictures of futures their pool threads'.

pub mod batcher;
pub mod bodies;
pub mod calvin;
pub mod cli;
pub mod commands;
pub mod dispatcher;
mod early;
pub mod environment;
pub mod event;
pub mod exit;
pub mod futures;
pub mod identity;
#[cfg(feature = "torch")]
pub mod masks;
#[cfg(feature = "torch")]
pub mod model;
pub mod pictures;
pub mod plan;
pub mod pool;
pub mod progress;
pub mod signals;
pub mod simpler;
pub mod store;
pub mod subject;
pub mod vulkan;
