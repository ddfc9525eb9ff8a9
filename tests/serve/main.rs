//! `serve` from outside: clients of both protocols, good ones and bad ones, on loopback.

mod client;
mod hostile;
mod model;
mod program;
#[path = "../support.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod support;
