//! A synthetic checkpoint from its making to action chunks, and what breaks it.
#![cfg(feature = "torch")]

mod behaviour;
mod broken;
mod inspection;
mod setting;
mod variants;
