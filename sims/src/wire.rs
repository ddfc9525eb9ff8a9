//! Messages between the harness and a simulator worker, and their framing.
//!
//! One request, one reply, over a Unix stream socket that is the worker's standard input.
//! A frame is: header length (u32), body length (u32), header (JSON), body (raw bytes), all
//! little-endian. Images, states and actions are in the body ([`crate::body`]), everything else
//! is in the header.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::episode::{EpisodeKey, Notes};
use crate::observation::SimSpec;
use crate::protocol::Protocol;

/// Increased with every change of a message; both ends must have the same.
pub const WIRE_VERSION: u16 = 2;

/// Longest header accepted, bytes: a longer one means that the peer uses another protocol.
const MAX_HEADER: u32 = 16 << 20;
/// Longest body accepted, bytes.
const MAX_BODY: u32 = 256 << 20;

/// A message from the harness to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// Load the adapter. Reply: [`Reply::Ready`].
    Open {
        /// The harness's [`WIRE_VERSION`].
        wire: u16,
        /// Arguments of the adapter.
        config: Box<OpenConfig>,
    },
    /// Set up an episode's initial state. Reply: [`Reply::Observed`].
    Reset {
        /// The episode.
        key: EpisodeKey,
        /// The video to record, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        video: Option<VideoRequest>,
    },
    /// Play the actions in the body (f32, step by step) until their end, or that of the stage or
    /// the episode. Reply: [`Reply::Observed`] or [`Reply::Finished`].
    Play {
        /// Numbers per action.
        width: u16,
    },
    /// Let the adapter's scripted expert play. Reply as for `Play`.
    Script {
        /// Maximum number of control steps.
        steps: u16,
    },
    /// Free the simulator and exit. No reply.
    Close,
}

/// Arguments of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenConfig {
    /// Rules of the evaluation on the simulator's side.
    pub protocol: Protocol,
    /// Names of the suites that will be played; files of others may be missing.
    pub suites: Vec<String>,
    /// Whether the policy needs images.
    pub images: bool,
    /// Whether images after an episode's last control step are needed as well: every step is
    /// then rendered, because any may be the last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_look: bool,
    /// Whether videos will be recorded.
    pub video: bool,
    /// A folder that only this worker writes to.
    pub scratch: String,
    /// Options of the benchmark: folder of assets, renderer, …
    pub options: BTreeMap<String, String>,
}

/// A video of one episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRequest {
    /// Absolute path of the file to write.
    pub path: String,
    /// Control steps per video frame.
    pub every: u16,
    /// Keep it only when the episode fails.
    pub failures_only: bool,
}

/// A message from a worker to the harness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// The adapter is loaded.
    Ready {
        /// The worker's [`WIRE_VERSION`].
        wire: u16,
        /// Cameras, state and actions of the simulator.
        spec: SimSpec,
        /// Versions, renderer, assets: facts that may differ between machines under one protocol.
        setting: BTreeMap<String, String>,
    },
    /// The policy's next input. Body: the images in the spec's camera order, then the state as
    /// f32.
    Observed {
        /// Number of stages completed so far.
        stage: u16,
        /// Number of control steps played so far.
        steps: u32,
        /// The instruction.
        instruction: String,
        /// Height and width of each image in the body.
        images: Vec<(u32, u32)>,
    },
    /// The episode is over. Body: all executed actions as f32, step by step, then the images.
    Finished {
        /// Number of stages completed.
        stages_completed: u16,
        /// Number of control steps played.
        steps: u32,
        /// Whether the step limit ended it.
        truncated: bool,
        /// SHA-256 (hex) of the simulator's state after the last step.
        final_state_sha256: String,
        /// Whether a video was kept.
        video: bool,
        /// What the adapter reports besides the outcome.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        notes: Notes,
        /// Height and width of each image in the body; empty without [`OpenConfig::last_look`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<(u32, u32)>,
    },
    /// The simulator failed. The worker must not be used again.
    Raised {
        /// Whether the set-up or the simulator is at fault.
        cause: Cause,
        /// The exception on one line.
        message: String,
        /// The traceback.
        traceback: String,
    },
}

/// Why a worker raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Something that the user has to provide is missing or wrong; a retry cannot help.
    Setup,
    /// The simulator failed while running.
    Simulator,
}

/// Writes one frame.
///
/// # Errors
/// When the peer is gone, or a message is longer than the limits.
pub fn send<T: Serialize>(stream: &mut impl Write, header: &T, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header).map_err(io::Error::other)?;
    let length = |bytes: usize, limit: u32| {
        u32::try_from(bytes).ok().filter(|length| *length <= limit).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {bytes} bytes"))
        })
    };
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend(length(header.len(), MAX_HEADER)?.to_le_bytes());
    frame.extend(length(body.len(), MAX_BODY)?.to_le_bytes());
    frame.extend(&header);
    frame.extend(body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Reads one frame.
///
/// # Errors
/// `UnexpectedEof` when the peer is gone; `InvalidData` when it sends anything but a frame.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let header_length = receive_length(stream)?;
    let body_length = receive_length(stream)?;
    if header_length > MAX_HEADER || body_length > MAX_BODY {
        let text = format!("a frame of {header_length} + {body_length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut header = vec![0; header_length as usize];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; body_length as usize];
    stream.read_exact(&mut body)?;
    let header = serde_json::from_slice(&header)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((header, body))
}

fn receive_length(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Numbers as little-endian bytes.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Numbers from little-endian bytes; `None` when their length is not a multiple of four.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, remainder) = bytes.as_chunks();
    remainder.is_empty().then(|| numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
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
    fn another_protocol_is_refused_without_reading_on() {
        let error = receive::<Request>(&mut b"GET / HTTP/1.1\r\n".as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn numbers_take_four_bytes_each() {
        assert_eq!(from_bytes(&[0; 7]), None);
    }
}
