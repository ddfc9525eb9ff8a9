//! Serves a policy to other people's harnesses and robots, over WebSocket.
//!
//! - [`server`]: the listening socket, the threads, the end; `shared`: what the threads share;
//! - `connection`: one client from its first byte to its log line; `timed`: its stream with deadlines;
//!   `http`: health, token and upgrade before the first message; `token`;
//! - `session`: what a client's messages mean, in `openpi` and in `vla_eval`; `observation`: a
//!   message's content as an observation; the names are in [`crate::clients`];
//! - `statistics`: what the summary at the end counts.
//!
//! Answers come from the batcher of a run ([`crate::run::batcher`]).

mod connection;
mod http;
mod observation;
mod openpi;
pub mod server;
mod session;
mod shared;
mod statistics;
mod timed;
mod token;
mod vla_eval;

pub use server::{Bound, Server};
pub use session::Served;
pub use shared::Options;
pub use token::Token;
