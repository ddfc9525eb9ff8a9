//! Controls: what a run withholds from its policy, to see whether the policy needs it.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use udvla_sims::identity::Subject;
use udvla_sims::instructions::Instructions;

use crate::benchmarks::Selection;
use crate::exit::Refused;

/// The controls of a run; by default none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// What the policy is told instead of the instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<InstructionControl>,
    /// What the policy sees instead of the current images and state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<ObservationControl>,
}

/// What the policy is told instead of the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum InstructionControl {
    /// The empty text.
    Blank,
    /// The instruction's words in another order.
    Scrambled,
    /// The instruction with that number: of a task of the suite, of a sub-task for CALVIN.
    Task(u16),
}

/// What the policy sees instead of the current images and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservationControl {
    /// The episode's first images and state, at every call
    Frozen,
    /// The first images and state of the task's next trial, at every call
    OtherTrial,
}

impl fmt::Display for InstructionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::Scrambled => f.write_str("scrambled"),
            Self::Task(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for InstructionControl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "blank" => Ok(Self::Blank),
            "scrambled" => Ok(Self::Scrambled),
            _ => text.parse().map(Self::Task).map_err(|_| {
                "expected blank, scrambled or the number of a task (`udvla-eval list`)".into()
            }),
        }
    }
}

impl From<InstructionControl> for String {
    fn from(control: InstructionControl) -> Self {
        control.to_string()
    }
}

impl TryFrom<String> for InstructionControl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl ObservationControl {
    /// Its name on the command line and in the subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::OtherTrial => "other-trial",
        }
    }
}

impl Controls {
    /// Whether the run has none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// `subject` with the controls.
    pub fn of_subject(&self, subject: Subject) -> Subject {
        let instruction = self.instruction.map(|control| match control {
            InstructionControl::Task(number) => format!("task {number}"),
            InstructionControl::Blank | InstructionControl::Scrambled => control.to_string(),
        });
        let observation = self.observation.map(|control| control.name().to_owned());
        Subject { instruction, observation, ..subject }
    }

    /// Checks that the controls are possible for the episodes of `selection`; whether their order
    /// matters is `order_matters`.
    ///
    /// # Errors
    /// [`Refused`] where a suite has no such instruction, a task would be given its own one, or
    /// there is no other trial to look at.
    pub fn check(&self, selection: &Selection, order_matters: bool) -> Result<()> {
        if let Some(InstructionControl::Task(number)) = self.instruction {
            check_number(number, selection)?;
        }
        match self.observation {
            Some(ObservationControl::OtherTrial) => check_other_trial(selection, order_matters),
            Some(ObservationControl::Frozen) | None => Ok(()),
        }
    }
}

fn check_number(number: u16, selection: &Selection) -> Result<()> {
    let instructions = Instructions::new(&selection.protocol);
    for task in &selection.tasks {
        let suite = &task.suite;
        let count = instructions.count(suite);
        if usize::from(number) >= count {
            let text =
                format!("`{suite}` has no instruction {number}, they go from 0 to {}", count - 1);
            let hint = format!("`udvla-eval list {}` shows them", selection.protocol.benchmark);
            return Err(Refused::new(text).hint(hint).into());
        }
        if instructions.one_per_task(suite) && task.task == number {
            let text = format!("instruction {number} is task {number}'s own in `{suite}`");
            return Err(Refused::new(text)
                .hint("leave that task out with `--task`, or name another instruction")
                .into());
        }
    }
    Ok(())
}

fn check_other_trial(selection: &Selection, order_matters: bool) -> Result<()> {
    if order_matters {
        return Err(Refused::new(
            "`--observation other-trial` resets the simulator once more per episode, and in this \
             reset mode episodes depend on earlier resets",
        )
        .hint("use the default `--reset-mode`")
        .into());
    }
    let suites = selection.tasks.iter().filter_map(|task| selection.protocol.suite(&task.suite));
    match suites.into_iter().find(|suite| suite.trials < 2) {
        Some(suite) => {
            Err(Refused::new(format!("`{}` has one trial, so there is no other", suite.name))
                .hint("use `--observation frozen`")
                .into())
        }
        None => Ok(()),
    }
}
