//! The messages between the harness and a simulator worker, and their frames.
//!
//! One request, one reply, over a Unix stream socket that is the worker's standard input.
//! A frame is: head length (u32), body length (u32), head (JSON), body (raw bytes), numbers
//! little endian. Pictures, states and actions travel in the body, everything else in the head.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::episode::{EpisodeKey, Notes};
use crate::observation::SimSpec;
use crate::protocol::Protocol;

/// Rises with every change of a message; both ends must have the same.
pub const WIRE_VERSION: u16 = 2;

/// Longest head accepted, bytes: a longer one means that the peer speaks something else.
const MAX_HEAD: u32 = 16 << 20;
/// Longest body accepted, bytes.
const MAX_BODY: u32 = 256 << 20;

/// What the harness asks of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// Load the adapter and make ready. Answer: [`Reply::Ready`].
    Open {
        /// The harness's [`WIRE_VERSION`].
        wire: u16,
        /// What the adapter is made with.
        config: Box<OpenConfig>,
    },
    /// Bring an episode's initial state. Answer: [`Reply::Observed`].
    Reset {
        /// The episode.
        key: EpisodeKey,
        /// Whether to make a video of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        video: Option<VideoRequest>,
    },
    /// Play the body's actions (f32, step by step) until they, a stage or the episode end.
    /// Answer: [`Reply::Observed`] or [`Reply::Finished`].
    Play {
        /// Numbers per control step.
        width: u16,
    },
    /// Let the adapter's scripted expert play. Answer as for `Play`.
    Script {
        /// Control steps, at most.
        steps: u16,
    },
    /// Free the simulator and exit. No answer.
    Close,
}

/// How an adapter is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenConfig {
    /// The environment's side of the evaluation.
    pub protocol: Protocol,
    /// Names of the suites that will be played; only what they need must be there.
    pub suites: Vec<String>,
    /// Whether the policy looks at pictures.
    pub images: bool,
    /// Whether pictures behind an episode's last control step are wanted as well: every step is
    /// then looked at, for any may be the last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_look: bool,
    /// Whether videos will be asked for.
    pub video: bool,
    /// A folder that this worker alone may write to.
    pub scratch: String,
    /// Where assets are, a renderer's name, …: the benchmark's own options.
    pub options: BTreeMap<String, String>,
}

/// A video of one episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRequest {
    /// The file to write, absolute.
    pub path: String,
    /// A frame every so many control steps.
    pub every: u16,
    /// Keep it only when the episode fails.
    pub failures_only: bool,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// The adapter is loaded.
    Ready {
        /// The worker's [`WIRE_VERSION`].
        wire: u16,
        /// What the simulator offers.
        spec: SimSpec,
        /// Versions, renderer, assets: what may differ between machines under one protocol.
        setting: BTreeMap<String, String>,
    },
    /// It is the policy's turn. Body: the pictures in the spec's camera order, then the state
    /// as f32.
    Observed {
        /// Stages completed so far.
        stage: u16,
        /// Control steps played so far.
        steps: u32,
        /// The instruction in words.
        instruction: String,
        /// Height and width of each picture in the body.
        images: Vec<(u32, u32)>,
    },
    /// The episode is over. Body: every executed action as f32, step by step, then the pictures.
    Finished {
        /// Stages completed.
        stages_completed: u16,
        /// Control steps played.
        steps: u32,
        /// Whether the step limit ended it.
        truncated: bool,
        /// SHA-256 (hex) of the simulator's state after the last step.
        final_state_sha256: String,
        /// Whether a video was kept.
        video: bool,
        /// What the adapter noted of the episode.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        notes: Notes,
        /// Height and width of each picture in the body, where a last look was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<(u32, u32)>,
    },
    /// The simulator failed. The worker must not be used again.
    Raised {
        /// Whether the machine lacks something, or the simulator broke while running.
        cause: Cause,
        /// The exception in one line.
        message: String,
        /// The traceback.
        traceback: String,
    },
}

/// Why a worker raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Something that the user has to provide is missing or wrong; trying again is no use.
    Setup,
    /// The simulator broke.
    Simulator,
}

/// Writes one frame.
///
/// # Errors
/// When the peer is gone, or a message is longer than the wire allows.
pub fn send<T: Serialize>(stream: &mut impl Write, head: &T, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head).map_err(io::Error::other)?;
    let length = |bytes: usize, limit: u32| {
        u32::try_from(bytes).ok().filter(|length| *length <= limit).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {bytes} bytes"))
        })
    };
    let mut frame = Vec::with_capacity(8 + head.len() + body.len());
    frame.extend(length(head.len(), MAX_HEAD)?.to_le_bytes());
    frame.extend(length(body.len(), MAX_BODY)?.to_le_bytes());
    frame.extend(&head);
    frame.extend(body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Reads one frame.
///
/// # Errors
/// `UnexpectedEof` when the peer is gone; `InvalidData` when it speaks something else.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let mut lengths = [0; 8];
    stream.read_exact(&mut lengths)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let head_length = u32::from_le_bytes([a, b, c, d]);
    let body_length = u32::from_le_bytes([e, f, g, h]);
    if head_length > MAX_HEAD || body_length > MAX_BODY {
        let text = format!("a frame of {head_length} + {body_length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut head = vec![0; head_length as usize];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; body_length as usize];
    stream.read_exact(&mut body)?;
    let head = serde_json::from_slice(&head)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((head, body))
}

/// `f32` numbers as the wire's little-endian bytes.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The wire's bytes as `f32` numbers; `None` when their count is no multiple of four.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let chunks = bytes.chunks_exact(4);
    chunks.remainder().is_empty().then(|| {
        chunks.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_frame() {
        let request = Request::Play { width: 7 };
        let body = to_bytes(&[0.5, -1.0, f32::MIN_POSITIVE]);
        let mut frame = vec![];
        send(&mut frame, &request, &body).unwrap();
        let (back, bytes): (Request, _) = receive(&mut frame.as_slice()).unwrap();
        assert_eq!(back, request);
        assert_eq!(from_bytes(&bytes).unwrap(), [0.5, -1.0, f32::MIN_POSITIVE]);
    }

    #[test]
    fn every_cut_of_a_frame_is_an_end_of_file() {
        let mut frame = vec![];
        send(&mut frame, &Request::Close, b"body").unwrap();
        for length in 0..frame.len() {
            let error = receive::<Request>(&mut &frame[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {length}");
        }
    }

    #[test]
    fn another_language_is_refused_without_reading_on() {
        let error = receive::<Request>(&mut b"GET / HTTP/1.1\r\n".as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn numbers_need_whole_words() {
        assert_eq!(from_bytes(&[0; 7]), None);
    }
}
