//! What a policy on a server is opened with.

use std::time::Duration;

use udvla_sims::observation::Camera;

use super::{Address, Layout, ServerProtocol};

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// Where it is.
    pub address: Address,
    /// Its protocol; detected if absent.
    pub protocol: Option<ServerProtocol>,
    /// A key for its `Authorization` header.
    pub key: Option<String>,
    /// Name of the policy in records and tables.
    pub name: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// The benchmark's cameras, in the order of an observation's images.
    pub cameras: Vec<Camera>,
    /// The layout instead of the bundled one.
    pub layout: Option<Layout>,
    /// Steps executed per chunk; the layout's if absent.
    pub execute: Option<u16>,
    /// Simulators that ask.
    pub simulators: usize,
    /// Connections, at most; one per simulator if absent.
    pub connections: Option<usize>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Longest time for connecting again.
    pub patience: Duration,
    /// Size of a message in bytes, at most.
    pub max_message: usize,
}
