//! Judges what a worker reports: nothing of it is believed without a look.
//!
//! Whatever a worker sends ends up in records, so a value that cannot be is an error of the
//! worker ([`SimError::Wire`]), after which it is not used again and the episode is retried.

use crate::body::{self, Demonstration, DemonstrationSizes};
use crate::episode::{EpisodeKey, Notes};
use crate::error::{SimError, unexpected};
use crate::observation::{Image, SimSpec};
use crate::protocol::UnknownSuite;
use crate::wire::{DemonstrationEnd, OpenConfig, Reply, Request, from_bytes};

/// Most bytes of an image.
const LARGEST_IMAGE: u64 = 64 << 20;
/// Most bytes of an instruction.
const LONGEST_INSTRUCTION: usize = 64 << 10;

/// What one worker may report of one episode, and what it reported so far.
#[derive(Debug)]
pub struct Checks {
    stages: u16,
    /// Control steps per stage.
    max_steps: u32,
    /// Sizes (height, width) of the images of an observation, and of those after the last step.
    images: Vec<(u32, u32)>,
    last_images: Vec<(u32, u32)>,
    state_width: usize,
    action_width: usize,
    video: bool,
    /// Steps that the last request allows; 0 after a reset.
    allowed: u32,
    stage: u16,
    steps: u32,
    /// Steps that were played when the current stage began.
    stage_begun: u32,
    /// Actions of each step, as they were sent; empty for steps of the script.
    sent: Vec<Vec<f32>>,
    /// Offsets of the steps that are to be demonstrated.
    offsets: Vec<f32>,
    /// Dimensions of an action that no offset changes.
    signs: Vec<usize>,
}

/// What a checked [`Reply::Finished`] holds in its body.
#[derive(Debug)]
pub struct End {
    /// The executed actions, step by step.
    pub actions: Vec<f32>,
    /// The images after the last step, if they were asked for.
    pub images: Vec<Image>,
}

/// Checks what a worker says of its simulator.
///
/// # Errors
/// [`SimError::Wire`] when no episode could be played on such a simulator.
pub fn check_spec(spec: &SimSpec) -> Result<(), SimError> {
    for camera in &spec.cameras {
        let bytes = 3 * u64::from(camera.height) * u64::from(camera.width);
        if bytes == 0 || bytes > LARGEST_IMAGE {
            let (name, height, width) = (&camera.name, camera.height, camera.width);
            return wrong(format!("that camera `{name}` has {height} x {width} pixels"));
        }
    }
    match spec.action.len() {
        0 => wrong("that an action has no numbers".into()),
        length if length > usize::from(u16::MAX) => {
            wrong(format!("that an action has {length} numbers"))
        }
        _ if !(spec.control_hz.is_finite() && spec.control_hz > 0.0) => {
            wrong(format!("that it is controlled {} times per second", spec.control_hz))
        }
        _ => Ok(()),
    }
}

impl Checks {
    /// For the episode `key` on a simulator of that `spec`, opened with `config`.
    ///
    /// # Errors
    /// [`UnknownSuite`] when the protocol does not have the episode's suite.
    pub fn new(
        config: &OpenConfig,
        spec: &SimSpec,
        key: &EpisodeKey,
    ) -> Result<Self, UnknownSuite> {
        let sizes = spec.cameras.iter().map(|camera| (camera.height, camera.width));
        let images: Vec<_> = sizes.filter(|_| config.images).collect();
        Ok(Self {
            stages: config.protocol.stages(key)?,
            max_steps: config.protocol.max_steps(key)?,
            last_images: if config.last_look { images.clone() } else { vec![] },
            images,
            state_width: spec.state.len(),
            action_width: spec.action.len(),
            video: false,
            allowed: 0,
            stage: 0,
            steps: 0,
            stage_begun: 0,
            sent: vec![],
            offsets: vec![],
            signs: config.protocol.environment.action_signs().unwrap_or_default(),
        })
    }

    /// Notes what is asked, which the next reply must fit.
    pub fn asked(&mut self, request: &Request, body: &[u8]) {
        match request {
            Request::Reset { video, .. } => {
                self.video = video.is_some();
                (self.allowed, self.stage, self.steps, self.stage_begun) = (0, 0, 0, 0);
                self.sent.clear();
            }
            Request::Play { width } => {
                let values = from_bytes(body).unwrap_or_default();
                let steps = values.chunks_exact(usize::from(*width).max(1));
                self.sent.truncate(self.steps as usize);
                self.sent.extend(steps.map(<[f32]>::to_vec));
                self.allowed = self.sent.len() as u32 - self.steps;
            }
            Request::Script { steps } => {
                self.sent.truncate(self.steps as usize);
                self.sent.extend(vec![vec![]; usize::from(*steps)]);
                self.allowed = u32::from(*steps);
            }
            Request::Demonstrate { steps, .. } => {
                self.offsets = from_bytes(body).unwrap_or_default();
                self.sent.truncate(self.steps as usize);
                self.sent.extend(vec![vec![]; usize::from(*steps)]);
                self.allowed = u32::from(*steps);
            }
            Request::Open { .. } | Request::Close => {}
        }
    }

    /// The images and the state of a [`Reply::Observed`].
    ///
    /// # Errors
    /// [`SimError::Wire`] for another reply, or one that cannot be.
    pub fn observed(
        &mut self,
        reply: &Reply,
        body: &[u8],
    ) -> Result<(Vec<Image>, Vec<f32>), SimError> {
        let Reply::Observed { stage, steps, instruction, images } = reply else {
            return Err(unexpected(reply));
        };
        self.advance(*stage, *steps)?;
        check_instruction(instruction)?;
        same_sizes(images, &self.images)?;
        let (images, state) = body::parse_observed(images, self.state_width, body)?;
        check_finite("a state", &state)?;
        Ok((images, state))
    }

    /// The content of a [`Reply::Demonstrated`], and how the episode ended, if it did.
    ///
    /// # Errors
    /// [`SimError::Wire`] for another reply, or one that cannot be.
    pub fn demonstrated(
        &mut self,
        reply: &Reply,
        body: &[u8],
    ) -> Result<(Demonstration, Option<DemonstrationEnd>), SimError> {
        let Reply::Demonstrated { stage, steps, instruction, end, target, images } = reply else {
            return Err(unexpected(reply));
        };
        if self.allowed == 0 && *stage == self.stage && *steps == self.steps {
            // Nothing was asked for but an observation.
        } else {
            self.advance(*stage, *steps)?;
        }
        check_instruction(instruction)?;
        same_sizes(images, &self.images)?;
        let played = self.sent.len() as u32 - self.allowed;
        let sizes = DemonstrationSizes {
            actions: (*steps - played) as usize * self.action_width,
            state: self.state_width,
            target: *target,
        };
        let parsed = body::parse_demonstrated(sizes, images, body)?;
        check_finite("a state", &parsed.state)?;
        check_finite("a target", parsed.target.as_slice().as_flattened())?;
        self.check_offsets(played as usize, &parsed)?;
        if let Some(end) = end {
            if self.allowed == 0 {
                return wrong("that the episode was over before its first step".into());
            }
            self.check_end(end.truncated)?;
            check_digest(&end.final_state_sha256)?;
        }
        Ok((parsed, end.clone()))
    }

    /// What was executed is what the expert wanted plus the offset, limited, to the bit. From then
    /// on it counts as sent.
    fn check_offsets(&mut self, played: usize, parsed: &Demonstration) -> Result<(), SimError> {
        let width = self.action_width;
        check_finite("an action", &parsed.labels)?;
        for (index, label) in parsed.labels.iter().enumerate() {
            let offset = self.offsets.get(index).copied().unwrap_or_default();
            let is_sign = self.signs.contains(&(index % width));
            let expected = offset_action(*label, offset, is_sign);
            if parsed.executed[index].to_bits() != expected.to_bits() {
                let step = played + index / width + 1;
                return wrong(format!("that step {step} executed another action than was wanted"));
            }
        }
        for (sent, executed) in
            self.sent[played..].iter_mut().zip(parsed.executed.chunks_exact(width))
        {
            *sent = executed.to_vec();
        }
        Ok(())
    }

    /// The actions and images of a [`Reply::Finished`].
    ///
    /// # Errors
    /// [`SimError::Wire`] for another reply, or one that cannot be.
    pub fn finished(&mut self, reply: &Reply, body: &[u8]) -> Result<End, SimError> {
        let Reply::Finished {
            stages_completed,
            steps,
            truncated,
            final_state_sha256,
            video,
            notes,
            images,
        } = reply
        else {
            return Err(unexpected(reply));
        };
        if self.allowed == 0 {
            return wrong("that the episode was over before its first step".into());
        }
        self.advance(*stages_completed, *steps)?;
        self.check_end(*truncated)?;
        check_digest(final_state_sha256)?;
        check_notes(notes)?;
        if *video && !self.video {
            return wrong("with a video that was not asked for".into());
        }
        same_sizes(images, &self.last_images)?;
        let count = self.action_width * self.steps as usize;
        let (actions, images) = body::parse_finished(count, images, body)?;
        self.check_actions(&actions)?;
        Ok(End { actions, images })
    }

    /// Moves on to what a reply reports.
    fn advance(&mut self, stage: u16, steps: u32) -> Result<(), SimError> {
        let least = self.steps + self.allowed.min(1);
        let limit = self.stage_begun.saturating_add(self.max_steps);
        let most = (self.steps + self.allowed).min(limit);
        if !(least..=most).contains(&steps) {
            return wrong(format!("after {steps} control steps, {}", range(least, most)));
        }
        // Where the last step decides, the last stage may become incomplete again.
        let least = self.stage.min(self.stages.saturating_sub(1));
        let most = if self.allowed == 0 { 0 } else { self.stages };
        if !(least..=most).contains(&stage) {
            let expected = range(least.into(), most.into());
            return wrong(format!("with {stage} stages completed, {expected}"));
        }
        // A chunk is cut where another stage begins, so `steps` is its beginning.
        if (self.stage + 1..self.stages).contains(&stage) {
            self.stage_begun = steps;
        }
        (self.stage, self.steps) = (stage, steps);
        Ok(())
    }

    /// An episode ends when its stages are completed, or a step limit is reached before.
    fn check_end(&self, truncated: bool) -> Result<(), SimError> {
        let Self { stage, stages, max_steps, .. } = *self;
        let steps = self.steps - self.stage_begun;
        if truncated == (stage == stages) {
            let how = if truncated { "at" } else { "before" };
            return wrong(format!(
                "that the episode ended {how} its step limit with {stage} of {stages} stages completed"
            ));
        }
        match truncated && steps < max_steps {
            true => wrong(format!("that the limit of {max_steps} steps was reached in {steps}")),
            false => Ok(()),
        }
    }

    /// The executed actions are finite, and those that were sent, to the bit.
    fn check_actions(&self, actions: &[f32]) -> Result<(), SimError> {
        let rows = actions.chunks_exact(self.action_width);
        for ((step, executed), sent) in (1..).zip(rows).zip(&self.sent) {
            if let Some(number) = executed.iter().find(|number| !number.is_finite()) {
                return wrong(format!("with an action that contains {number} in step {step}"));
            }
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            if !sent.is_empty() && bits(sent) != bits(executed) {
                return wrong(format!("that step {step} executed another action than was sent"));
            }
        }
        Ok(())
    }
}

/// One number of an action that is executed when the expert wants `label`.
pub fn offset_action(label: f32, offset: f32, is_sign: bool) -> f32 {
    if is_sign { label } else { (label + offset).clamp(-1.0, 1.0) }
}

fn check_instruction(instruction: &str) -> Result<(), SimError> {
    match instruction.len() > LONGEST_INSTRUCTION {
        true => wrong(format!("with an instruction of {} bytes", instruction.len())),
        false => Ok(()),
    }
}

fn check_finite(what: &str, numbers: &[f32]) -> Result<(), SimError> {
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(number) => wrong(format!("with {what} that contains {number}")),
        None => Ok(()),
    }
}

fn same_sizes(images: &[(u32, u32)], expected: &[(u32, u32)]) -> Result<(), SimError> {
    match images == expected {
        true => Ok(()),
        false => wrong(format!(
            "with {} images of sizes {}, expected are {}",
            images.len(),
            sizes(images),
            sizes(expected)
        )),
    }
}

/// Sizes for a message, not more than a few.
fn sizes(images: &[(u32, u32)]) -> String {
    let shown = images.iter().take(8).map(|(height, width)| format!("{height} x {width}"));
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}

fn check_digest(digest: &str) -> Result<(), SimError> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match digest.len() == 64 && digest.bytes().all(is_digit) {
        true => Ok(()),
        false => wrong("with a final state that is no SHA-256".into()),
    }
}

fn check_notes(notes: &Notes) -> Result<(), SimError> {
    let is_plain = |value: &serde_json::Value| value.is_boolean() || value.is_i64();
    match notes.iter().find(|(_, value)| !is_plain(value)) {
        Some((name, _)) => wrong(format!("with a note `{name}` that is no boolean or integer")),
        None => Ok(()),
    }
}

fn range(least: u32, most: u32) -> String {
    match least == most {
        true => format!("expected are {least}"),
        false => format!("expected are {least} to {most}"),
    }
}

fn wrong<T>(text: String) -> Result<T, SimError> {
    Err(SimError::Wire(text))
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
