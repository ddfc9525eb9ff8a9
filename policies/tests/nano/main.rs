//! Synthetic checkpoints, from writing to action chunks, and broken ones.
#![cfg(feature = "torch")]

mod behaviour;
mod broken;
mod inspection;
mod setting;
mod trained;
mod variants;
