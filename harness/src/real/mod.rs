//! Trials on a real robot: a person judges, a robot may be driven, records are those of any run.
//!
//! - [`tasks`]: the protocol, bundled or from a user's file; `order`: the random order of trials;
//! - [`plan`]: what `run.json` stores, and the manifest of a run;
//! - [`drive`]: policies that drive a robot, [`robot`]: its side of the connection;
//! - [`operator`]: questions and answers, in the terminal; `page`: on a local page;
//! - [`session`]: asks about every trial and records the answer.

pub mod drive;
pub mod operator;
mod order;
pub mod page;
pub mod plan;
pub mod robot;
pub mod session;
pub mod tasks;
