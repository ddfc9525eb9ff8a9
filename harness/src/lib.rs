//! The harness: from a command line to a run directory with tables and plots.
//!
//! [`cli`] is what was typed, [`plan`] what it means, [`run`] plays it, [`report`] shows it.
//! [`benchmarks`] is the registry of benchmarks, [`commands`] has a file per subcommand, [`output`] is
//! how all of them write to the terminal.
//!
//! ```text
//!  udvla-eval (one process¹)                         N × udvla-sim-worker (own environments)
//!  main = dispatcher  ◄── Event ── signals
//!     │ ▲
//!     ▼ │  Order per worker thread
//!  worker thread 0…N-1  ══ wire: reset, play a chunk ══►  Rust ── pyo3 ── adapter ── simulator
//!     │ ▲
//!     ▼ │  a queue of Questions, Answers
//!  policy thread per device: batcher ── Policy (libtorch)
//! ```
//! ¹ Where the model is needed, `udvla-eval` replaces itself by `udvla-eval-model` ([`model`]).
//!
//! Each thread owns its data; the dispatcher alone writes records. Workers write their own logs and
//! videos, worker threads the images of predicted futures.

#[macro_use]
pub mod output;

pub mod assets;
pub mod benchmarks;
pub mod cameras;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod demonstrations;
pub mod environment;
pub mod exit;
pub mod gpus;
#[cfg(feature = "torch")]
pub mod hub;
pub mod images;
pub mod installer;
pub mod locked;
pub mod machine;
#[cfg(feature = "torch")]
pub mod masks;
#[cfg(feature = "torch")]
pub mod model;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod preflight;
pub mod program;
pub mod real;
pub mod report;
pub mod run;
pub mod serve;
pub mod simulator;
pub mod tracker;
pub mod vulkan;
pub mod walls;
