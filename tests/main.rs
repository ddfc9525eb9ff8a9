//! The program from outside: command lines in, run directories and exit codes out.

mod calvin;
mod early;
mod interruptions;
mod libero;
mod refusals;
mod results;
mod resume;
mod runs;
mod simpler;
mod support;
#[cfg(feature = "torch")]
mod udvla;
mod worker;
