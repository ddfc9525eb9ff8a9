//! Demonstrations by a simulator's scripted expert, recorded for training.
//!
//! - [`plan`]: what is recorded; `noise`: offsets that are added to the expert's actions;
//! - `episode`: one episode, from its reset to its recording; `recording`: what is recorded of it;
//!   `start`: its beginning by a policy, which the expert corrects; `file`: its file;
//! - [`directory`]: the folder of a collection, `demonstrations.json`, what is recorded already;
//! - [`collect`]: the threads, one per simulator.

pub mod collect;
pub mod directory;
mod episode;
mod file;
mod noise;
pub mod plan;
mod recording;
mod start;
