//! What a client's messages mean, whatever the protocol.

use std::time::Duration;

use tungstenite::Message;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Camera, Observation};

use crate::clients::Names;

/// What sessions need to know of the policy.
#[derive(Debug)]
pub struct Served {
    /// The benchmark's names in both protocols.
    pub names: &'static Names,
    /// The policy's cameras.
    pub cameras: Vec<Camera>,
    /// Control steps per chunk.
    pub chunk: u16,
    /// Numbers per control step.
    pub action_width: usize,
    /// Tokens of an instruction, at most.
    pub longest_instruction: Option<usize>,
    /// What clients are told that they talk to.
    pub title: String,
}

/// One client's state: nothing of it outlives the connection.
pub trait Session: Send {
    /// The first message, where the server speaks first.
    fn greeting(&self) -> Option<Vec<u8>>;

    /// Takes a message.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    fn receive(&mut self, message: &[u8]) -> Result<Step, Fault>;

    /// The message that answers the observation that was asked about last.
    fn answer(&mut self, chunk: &ActionChunk, time: Duration) -> Vec<u8>;

    /// The message that reports a fault.
    fn report(&self, fault: &Fault) -> Message;

    /// Whether an episode is running, which the end of the server waits for.
    fn is_in_episode(&self) -> bool;
}

/// What follows from a message.
#[derive(Debug)]
pub enum Step {
    /// Nothing is sent.
    Nothing,
    /// The client introduced itself: an answer, and its words for the log.
    Hello(Vec<u8>, String),
    /// An observation whose answer is at hand.
    Known(Vec<u8>),
    /// An observation that the policy has to be asked about.
    Ask(Box<Asked>),
}

/// An observation with the key of its noise.
#[derive(Debug)]
pub struct Asked {
    /// The episode.
    pub key: EpisodeKey,
    /// Number of earlier calls for this episode.
    pub call: u32,
    /// What the policy sees.
    pub observation: Observation,
}

/// What is wrong with a message.
#[derive(Debug)]
pub struct Fault {
    /// The text for the client.
    pub text: String,
    /// Whether the connection ends.
    pub ends: bool,
    /// Number of the message, in a protocol that has numbers.
    pub seq: i64,
}

impl Fault {
    /// A fault that ends the connection.
    pub fn fatal(text: impl Into<String>) -> Self {
        Self { text: text.into(), ends: true, seq: 0 }
    }
}
