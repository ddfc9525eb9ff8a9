//! How a benchmark's observations and actions are named and converted for a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use super::ServerProtocol;

/// A benchmark's layout for one protocol: `layouts/servers.json`, or a user's file of this form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Images that are sent.
    #[serde(default)]
    pub images: Vec<ImageField>,
    /// The state, if it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateField>,
    /// Key of the instruction.
    pub instruction: String,
    /// Steps of a chunk that are executed, at most; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<u16>,
    /// Numbers per control step.
    pub action_width: usize,
    /// Factor of each number of an action; none are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<f64>,
    /// The gripper's convention; none leaves its number as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gripper: Option<Gripper>,
    /// vla-eval: what the server may ask for (`observation_params`), and with which values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<String, Vec<serde_json::Value>>,
    /// vla-eval: what the server may ask for although this benchmark's protocol decides it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// vla-eval: formats of the parts of an action (`action_spec`) that the benchmark plays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub formats: BTreeMap<String, Vec<String>>,
    /// RoboArena: action spaces that the benchmark plays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_spaces: Vec<String>,
}

/// An image of a message, `[h, w, 3]` bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageField {
    /// Its key; for vla-eval, `/` goes into a nested map.
    pub key: String,
    /// The camera, by the protocol's name.
    pub camera: String,
    /// Height and width in pixels after bilinear resizing with black bars; the camera's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
    /// A change of what the benchmark's protocol shows, before resizing.
    #[serde(default)]
    pub flip: Flip,
    /// Sent only to a server that asks for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// Mirroring of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// As it is.
    #[default]
    None,
    /// Top and bottom exchanged.
    Vertical,
    /// Left and right exchanged.
    Horizontal,
    /// Turned by 180 degrees.
    Both,
}

/// The state of a message, a vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateField {
    /// Its key.
    pub key: String,
    /// Its type.
    pub r#type: Float,
    /// Indices into the simulator's state, in the order sent.
    pub numbers: Vec<usize>,
    /// Sent only to a server that asks for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// A rotation vector whose angle is brought to at most 180 degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortest_rotation: Option<ShortestRotation>,
}

/// A rotation vector (axis times angle in radians) within a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortestRotation {
    /// Position of its first number in the vector that is sent.
    pub first: usize,
    /// A wish of the server that leaves it as it is.
    pub unless: String,
}

/// Number format of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Float {
    F32,
    F64,
}

/// The gripper's number becomes 1 above the threshold and -1 below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gripper {
    /// Its index in an action.
    pub number: usize,
    /// The threshold.
    pub threshold: f64,
    /// What the threshold itself becomes.
    pub at_threshold: f64,
    /// Whether the sign is turned round afterwards.
    #[serde(default)]
    pub invert: bool,
}

impl Layout {
    /// The layout of a benchmark, if this version has one.
    pub fn bundled(benchmark: &str, protocol: ServerProtocol) -> Option<Self> {
        let all: BTreeMap<String, BTreeMap<String, Self>> =
            serde_json::from_str(include_str!("../../layouts/servers.json"))
                .expect("the tests read the layouts");
        // RoboArena's messages differ from openpi's in what surrounds the observation.
        let name = match protocol {
            ServerProtocol::Openpi | ServerProtocol::Roboarena => "openpi",
            ServerProtocol::VlaEval => "vla-eval",
        };
        all.get(benchmark)?.get(name).cloned()
    }

    /// A layout from JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let layout: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        layout.check().map(|()| layout)
    }

    /// Digest of its contents, `sha256:…`.
    pub fn digest(&self) -> String {
        sha256(&serde_json::to_vec(self).expect("a layout holds only strings and numbers"))
    }

    fn check(&self) -> Result<(), String> {
        let Self { action_width, scale, execute, gripper, .. } = self;
        if *action_width == 0 || *execute == Some(0) {
            return Err("`action_width` and `execute` are at least 1".into());
        }
        if !scale.is_empty() && scale.len() != *action_width {
            return Err(format!(
                "the lengths of `scale` and of an action differ: {} and {action_width}",
                scale.len()
            ));
        }
        if let Some(gripper) = gripper
            && gripper.number >= *action_width
        {
            let number = gripper.number;
            return Err(format!("`gripper` is number {number} of an action of {action_width}"));
        }
        if self.images.iter().filter_map(|image| image.size).any(|(h, w)| h.min(w) == 0) {
            return Err("`size` of an image has a 0".into());
        }
        let rotation = self.state.as_ref().and_then(|state| {
            state.shortest_rotation.as_ref().map(|rotation| (rotation.first, state.numbers.len()))
        });
        match rotation {
            Some((first, length)) if first + 3 > length => {
                Err(format!("`shortest_rotation` ends after the {length} numbers of the state"))
            }
            _ => Ok(()),
        }
    }
}

/// `sha256:…` of bytes.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_a_sound_layout_for_every_protocol() {
        for benchmark in ["libero", "calvin", "simpler", "toy"] {
            for protocol in ServerProtocol::ALL {
                let layout = Layout::bundled(benchmark, protocol).expect(benchmark);
                layout.check().unwrap_or_else(|fault| panic!("{benchmark}: {fault}"));
                let text = serde_json::to_string(&layout).unwrap();
                assert_eq!(Layout::parse(&text), Ok(layout));
            }
        }
        assert_eq!(Layout::bundled("real", ServerProtocol::Openpi), None);
    }

    #[test]
    fn a_layout_that_cannot_work_says_why() {
        for (text, part) in [
            (r#"{"instruction": "p"}"#, "missing field `action_width`"),
            (r#"{"instruction": "p", "action_width": 7, "x": 1}"#, "unknown field `x`"),
            (r#"{"instruction": "p", "action_width": 7, "scale": [1]}"#, "differ: 1 and 7"),
            (
                r#"{"instruction": "p", "action_width": 2,
                    "gripper": {"number": 2, "threshold": 0, "at_threshold": 1}}"#,
                "`gripper` is number 2",
            ),
        ] {
            let error = Layout::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
