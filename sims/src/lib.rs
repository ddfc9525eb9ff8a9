//! Episodes, observations, protocols, and the wire to simulator workers.
//!
//! This crate depends on neither Python nor libtorch. A worker process (package `udvla-worker`,
//! or the fake simulator of the tests) answers the messages of [`wire`]; [`process`] starts one,
//! sends it requests with a deadline, and kills it when it hangs.

pub mod annotations;
pub mod body;
pub mod causes;
mod details;
pub mod episode;
mod error;
pub mod identity;
pub mod observation;
pub mod process;
pub mod protocol;
pub mod sequences;
pub mod shell;
pub mod wire;
