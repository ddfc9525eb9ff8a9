//! The engine: plays the episodes of a plan and records them in a run directory.
//!
//! - [`engine`]: a run from opening the policy to the last manifest;
//! - `dispatcher`, `schedule`, `breaker`: the state of a run, which episode goes to which worker, when
//!   it gives up; `ending`: how it ends;
//! - `pool`, `worker`: the threads; each worker thread drives one simulator;
//! - `episode`, `controls`, [`futures`]: one episode as a state machine, what is withheld from the policy,
//!   and the images it saves;
//! - [`batcher`]: collects the questions of all workers into batches for the policy; `arrivals`: when
//!   waiting for another one is of use;
//! - `directory`, `owner`, [`store`], [`manifest`], `record`: the run directory, who may write to it, and
//!   its contents;
//! - `early`: what may end a run early; [`failure`]: what an attempt fails by; [`event`],
//!   [`signals`]: what the dispatcher reacts to.

mod arrivals;
pub mod batcher;
mod breaker;
mod clock;
mod controls;
mod directory;
mod dispatcher;
mod early;
mod ending;
pub mod engine;
mod episode;
pub mod event;
pub mod failure;
pub mod futures;
pub mod manifest;
mod owner;
mod pool;
pub(crate) mod record;
mod schedule;
pub mod signals;
pub mod store;
mod worker;

pub use clock::now;
pub use early::baseline;
pub use ending::{Ending, Evaluated, Outcome};
pub use engine::{check, evaluate, evaluate_with};
pub use owner::{Owner, is_in_use};
pub use store::{read_run as read, refuse_links};
