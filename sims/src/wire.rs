//! Messages between the harness and a simulator worker, and their framing.
//!
//! One request, one reply, over a Unix stream socket that is the worker's standard input.
//! A frame is: magic bytes (4), number (u32), header length (u32), body length (u32), header
//! (JSON), body (raw bytes), all little-endian. The magic bytes hold the version. The harness
//! counts its requests; a reply carries the number of its request, so that a reply too many is
//! never taken for the next one. Images, states and actions are in the body ([`crate::body`]),
//! everything else is in the header.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::episode::{EpisodeKey, Notes};
use crate::observation::SimSpec;
use crate::protocol::Protocol;

/// Increased with every change of a message; both ends must have the same.
pub const WIRE_VERSION: u16 = 4;

/// First bytes of every frame.
const MAGIC: [u8; 4] = *b"udv\x04";
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
    /// Let the adapter's scripted expert play, with offsets added to its actions (the body: f32,
    /// step by step), until their end, or that of the stage or the episode. Without steps, the
    /// current observation. Reply: [`Reply::Demonstrated`].
    Demonstrate {
        /// Number of control steps.
        steps: u16,
        /// Numbers per action.
        width: u16,
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
    /// What the expert did, and the observation after it. Body, all but the images as f32: the
    /// actions that the expert wanted in these steps, the actions that were executed, the state,
    /// the position of the target (if any), then the images.
    ///
    /// An action is what the expert wanted plus the offset, limited to -1 and 1; dimensions that
    /// the protocol names in `action_signs` are as the expert wanted them.
    Demonstrated {
        /// Number of stages completed so far.
        stage: u16,
        /// Number of control steps played so far, those of other requests too.
        steps: u32,
        /// The instruction.
        instruction: String,
        /// The end of the episode, if these steps reached it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<DemonstrationEnd>,
        /// Whether the body has the position of the object to be moved: three numbers, in meters,
        /// in the frame of the world.
        target: bool,
        /// Height and width of each image in the body.
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

/// How a demonstrated episode ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemonstrationEnd {
    /// Whether the step limit ended it.
    pub truncated: bool,
    /// SHA-256 (hex) of the simulator's state after the last step.
    pub final_state_sha256: String,
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

/// A frame as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<T> {
    /// Number of the request, or of the request that this replies to.
    pub number: u32,
    /// The request or reply.
    pub header: T,
    /// Images, states, actions.
    pub body: Vec<u8>,
}

/// Writes one frame.
///
/// # Errors
/// When the peer is gone, or a message is longer than the limits.
pub fn send<T: Serialize>(
    stream: &mut impl Write,
    number: u32,
    header: &T,
    body: &[u8],
) -> io::Result<()> {
    let header = serde_json::to_vec(header).map_err(io::Error::other)?;
    let length = |bytes: usize, limit: u32| {
        u32::try_from(bytes).ok().filter(|length| *length <= limit).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {bytes} bytes"))
        })
    };
    let mut frame = Vec::with_capacity(16 + header.len() + body.len());
    frame.extend(MAGIC);
    frame.extend(number.to_le_bytes());
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
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Message<T>> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let magic = receive_field(stream)?;
    if magic != MAGIC {
        return Err(invalid(format!("bytes that are no frame ({})", magic.escape_ascii())));
    }
    let mut receive_u32 = || receive_field(stream).map(u32::from_le_bytes);
    let (number, header_length, body_length) = (receive_u32()?, receive_u32()?, receive_u32()?);
    if header_length > MAX_HEADER || body_length > MAX_BODY {
        return Err(invalid(format!("a frame of {header_length} + {body_length} bytes")));
    }
    let header = receive_bytes(stream, header_length)?;
    let body = receive_bytes(stream, body_length)?;
    let header = serde_json::from_slice(&header)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Message { number, header, body })
}

fn receive_field(stream: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Exactly `length` bytes. Memory grows with what arrives, not with what is announced.
fn receive_bytes(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    stream.take(u64::from(length)).read_to_end(&mut bytes)?;
    match bytes.len() == length as usize {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
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
        send(&mut frame, 41, &request, &body).unwrap();
        let back: Message<Request> = receive(&mut frame.as_slice()).unwrap();
        assert_eq!((back.number, back.header), (41, request));
        assert_eq!(from_bytes(&back.body).unwrap(), [0.5, -1.0, f32::MIN_POSITIVE]);
    }

    #[test]
    fn every_cut_of_a_frame_is_an_end_of_file() {
        let mut frame = vec![];
        send(&mut frame, 1, &Request::Close, b"body").unwrap();
        for length in 0..frame.len() {
            let error = receive::<Request>(&mut &frame[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {length}");
        }
    }

    #[test]
    fn anything_but_a_frame_is_refused_at_its_first_bytes() {
        let error = receive::<Request>(&mut b"GET ".as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("(GET )"), "{error}");
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_without_reading_on() {
        let mut frame = vec![];
        send(&mut frame, 1, &Request::Close, &[]).unwrap();
        for field in [8, 12] {
            let mut frame = frame.clone();
            frame[field..field + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            let error = receive::<Request>(&mut &frame[..16]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn numbers_take_four_bytes_each() {
        assert_eq!(from_bytes(&[0; 7]), None);
    }
}
