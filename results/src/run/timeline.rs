//! When the policy was asked during an episode and with which words, as stored with its actions.
//!
//! Outcomes do not depend on it: files of runs that were recorded before it existed have none.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Key of the timeline in the metadata of an episode's actions.
const KEY: &str = "timeline";

/// The course of an episode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// A name for each number of an action.
    pub action: Vec<String>,
    /// Names of the cameras, in the order of images.
    pub cameras: Vec<String>,
    /// Control steps per second of simulated time.
    pub control_hz: f32,
    /// Control steps played before each call of the policy.
    pub calls: Vec<u32>,
    /// What the policy was told; each entry holds until the next.
    pub instructions: Vec<Instruction>,
    /// Where the images are in every file of the episode's predicted futures, if they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub futures: Option<FutureGrid>,
}

/// An instruction and the stage it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// The first call that was given it, from 0.
    pub call: u32,
    /// The stage at that time, from 0.
    pub stage: u16,
    /// The words.
    pub text: String,
}

/// Positions in an image of predicted futures, in pixels: three columns (observed, predicted,
/// observed after the actions) of a row per camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureGrid {
    /// Left edge of the first column.
    pub left: u32,
    /// Distance between the left edges of two columns.
    pub pitch: u32,
    /// The rows, from the top.
    pub rows: Vec<FutureRow>,
}

/// One camera's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FutureRow {
    /// Top edge of its images.
    pub top: u32,
    /// Their height.
    pub height: u32,
    /// Their width.
    pub width: u32,
}

impl Timeline {
    /// Adds a call of the policy after `steps` control steps.
    pub fn ask(&mut self, steps: u32, stage: u16, instruction: &str) {
        let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(steps);
        let same = |last: &Instruction| last.stage == stage && last.text == instruction;
        if !self.instructions.last().is_some_and(same) {
            self.instructions.push(Instruction { call, stage, text: instruction.to_owned() });
        }
    }

    /// The metadata of the file of actions.
    pub fn to_metadata(&self) -> HashMap<String, String> {
        let text = serde_json::to_string(self).expect("its keys are text and its numbers finite");
        HashMap::from([(KEY.to_owned(), text)])
    }

    /// From the metadata of a file of actions; `None` if there is none.
    ///
    /// # Errors
    /// If it is not a timeline.
    pub fn from_metadata(
        metadata: Option<&HashMap<String, String>>,
    ) -> Result<Option<Self>, serde_json::Error> {
        let text = metadata.and_then(|metadata| metadata.get(KEY));
        text.map(|text| serde_json::from_str(text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_stored_once_for_the_calls_that_it_was_given_to() {
        let mut timeline = Timeline { control_hz: 30.0, ..Timeline::default() };
        for (steps, stage, text) in [(0, 0, "open it"), (10, 0, "open it"), (17, 1, "push it")] {
            timeline.ask(steps, stage, text);
        }
        assert_eq!(timeline.calls, [0, 10, 17]);
        let given: Vec<_> =
            timeline.instructions.iter().map(|i| (i.call, i.stage, &*i.text)).collect();
        assert_eq!(given, [(0, 0, "open it"), (2, 1, "push it")]);
        let metadata = timeline.to_metadata();
        assert_eq!(Timeline::from_metadata(Some(&metadata)).unwrap(), Some(timeline));
        assert_eq!(Timeline::from_metadata(None).unwrap(), None);
        let broken = HashMap::from([(KEY.to_owned(), "{}".to_owned())]);
        assert!(Timeline::from_metadata(Some(&broken)).is_err());
    }
}
