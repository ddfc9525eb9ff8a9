//! Episodes, observations, protocols, and the wire to simulator workers.
//!
//! This crate depends on neither Python nor libtorch. A worker process (package `udvla-worker`,
//! or the fake simulator of the tests) answers the messages of [`wire`]; [`process`] starts one,
//! sends it requests with a deadline, and kills it with all that it started when it hangs or ends
//! ([`tree`], [`supervisor`]). [`checks`] judges every reply: a worker is never believed.

pub mod annotations;
pub mod body;
pub mod causes;
pub mod checks;
mod details;
pub mod episode;
mod error;
pub mod identity;
pub mod instructions;
mod log;
mod memory;
pub mod observation;
pub mod process;
pub mod protocol;
pub mod sequences;
pub mod shell;
mod stream;
pub mod supervisor;
pub mod tree;
pub mod wire;
