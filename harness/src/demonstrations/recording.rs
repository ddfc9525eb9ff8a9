//! A recorded episode, and one that is being played.

use std::time::Duration;

use udvla_policies::vision::resize_bicubic;
use udvla_sims::body::Demonstration;
use udvla_sims::checks::Checks;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::Observation;
use udvla_sims::process::{SimError, unexpected};
use udvla_sims::wire::{DemonstrationEnd, OpenConfig, Reply, Request, to_bytes};

use super::noise::{Draws, Offsets};
use super::plan::Collection;
use crate::simulator::Simulator;

/// Longest request.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// A recorded episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The episode.
    pub key: EpisodeKey,
    /// The instruction.
    pub instruction: String,
    /// Numbers of an action.
    pub width: usize,
    /// Control step of each observation.
    pub steps: Vec<i64>,
    /// Resized images, camera by camera; those of one camera one after the other.
    pub views: Vec<Vec<u8>>,
    /// State of each observation.
    pub state: Vec<f32>,
    /// Position of the object to be moved, of each observation, in meters; empty without one.
    pub target: Vec<f32>,
    /// What the expert wanted, and what was executed, step by step.
    pub labels: Vec<f32>,
    /// See `labels`.
    pub executed: Vec<f32>,
    /// 1 for every step with an offset, else 0.
    pub noisy: Vec<u8>,
    /// 1 for every step of the expert, 0 for those of a policy before it.
    pub expert: Vec<u8>,
    /// Whether all stages were completed.
    pub success: bool,
    /// SHA-256 (hex) of the simulator's last state.
    pub final_state_sha256: String,
}

/// An episode that is being played.
pub struct Playing<'a> {
    pub(super) collection: &'a Collection,
    pub(super) simulator: &'a mut Simulator,
    pub(super) checks: Checks,
    offsets: Offsets,
    pub(super) recording: Recording,
    /// The last one.
    pub(super) observation: Observation,
}

/// How an episode ended.
pub struct Ended {
    pub(super) success: bool,
    pub(super) final_state_sha256: String,
}

/// Why an episode was not recorded.
#[derive(Debug)]
pub enum Interruption {
    /// The simulator failed; it must not be used again.
    Simulator(SimError),
    /// The policy failed; nothing can be recorded.
    Policy(anyhow::Error),
}

impl From<SimError> for Interruption {
    fn from(error: SimError) -> Self {
        Self::Simulator(error)
    }
}

impl<'a> Playing<'a> {
    pub(super) fn reset(
        collection: &'a Collection,
        simulator: &'a mut Simulator,
        key: &EpisodeKey,
    ) -> Result<Self, SimError> {
        let wire = |error: udvla_sims::protocol::UnknownSuite| SimError::Wire(error.to_string());
        let protocol = &collection.protocol;
        let config = OpenConfig {
            protocol: protocol.clone(),
            suites: vec![],
            images: true,
            last_look: false,
            video: false,
            scratch: String::new(),
            options: Default::default(),
        };
        let mut checks = Checks::new(&config, &simulator.spec, key).map_err(wire)?;
        let limit = protocol.max_steps(key).map_err(wire)?;
        let limit = limit * u32::from(protocol.stages(key).map_err(wire)?);
        let width = simulator.spec.action.len();
        let draws = Draws::new(collection.seed, key, "noise");
        let offsets = collection.noise.offsets(draws, limit as usize, width);
        let request = Request::Reset { key: key.clone(), video: None };
        checks.asked(&request, &[]);
        let (reply, body) = simulator.worker.ask(&request, &[], PATIENCE)?;
        let (images, state) = checks.observed(&reply, &body)?;
        let Reply::Observed { instruction, .. } = reply else { return Err(unexpected(&reply)) };
        let recording = Recording {
            key: key.clone(),
            instruction,
            width,
            steps: vec![],
            views: vec![vec![]; simulator.spec.cameras.len()],
            state: vec![],
            target: vec![],
            labels: vec![],
            executed: vec![],
            noisy: vec![],
            expert: vec![],
            success: false,
            final_state_sha256: String::new(),
        };
        let instruction = recording.instruction.as_str().into();
        let observation = Observation { images, state, instruction, stage: 0 };
        Ok(Self { collection, simulator, checks, offsets, recording, observation })
    }

    /// Control steps played so far.
    pub(super) fn played(&self) -> usize {
        self.recording.labels.len() / self.recording.width
    }

    /// Control steps until the next observation is due.
    pub(super) fn until_observation(&self) -> usize {
        let every = usize::from(self.collection.every);
        every - self.played() % every
    }

    /// Lets the expert play `count` steps, or until the end, and records them; and the observation
    /// after them, if it is due.
    pub(super) fn demonstrate(&mut self, count: usize) -> Result<Option<Ended>, SimError> {
        let (width, before) = (self.recording.width, self.played());
        let too_many = |_| SimError::Wire("a number that does not fit the wire".into());
        let request = Request::Demonstrate {
            steps: u16::try_from(count).map_err(too_many)?,
            width: u16::try_from(width).map_err(too_many)?,
        };
        let body = to_bytes(&self.offsets.of_steps(before, count));
        self.checks.asked(&request, &body);
        let (reply, body) = self.simulator.worker.ask(&request, &body, PATIENCE)?;
        let (demonstration, end) = self.checks.demonstrated(&reply, &body)?;
        let Reply::Demonstrated { stage, instruction, .. } = reply else {
            return Err(unexpected(&reply));
        };
        let recording = &mut self.recording;
        recording.labels.extend(&demonstration.labels);
        recording.executed.extend(&demonstration.executed);
        let played = recording.labels.len() / width;
        recording.noisy.extend(&self.offsets.noisy[before..played]);
        recording.expert.extend(vec![1; played - before]);
        let Demonstration { state, target, images, .. } = demonstration;
        self.observation =
            Observation { images, state, instruction: instruction.as_str().into(), stage };
        if end.is_some() || played.is_multiple_of(usize::from(self.collection.every)) {
            self.observe(target);
        }
        Ok(end.map(|DemonstrationEnd { truncated, final_state_sha256 }| Ended {
            success: !truncated,
            final_state_sha256,
        }))
    }

    /// Records the last observation.
    fn observe(&mut self, target: Option<[f32; 3]>) {
        let step = i64::try_from(self.played()).expect("a number of steps");
        let (recording, observation) = (&mut self.recording, &self.observation);
        recording.steps.push(step);
        recording.state.extend(&observation.state);
        recording.target.extend(target.as_slice().as_flattened());
        let images = observation.images.iter().zip(&self.collection.sizes);
        for (view, (image, size)) in recording.views.iter_mut().zip(images) {
            let (from, side) = ((image.height as usize, image.width as usize), usize::from(*size));
            view.extend(resize_bicubic(&image.rgb, from, (side, side)));
        }
    }

    pub(super) fn finish(self, ended: Ended) -> Recording {
        let Ended { success, final_state_sha256 } = ended;
        Recording { success, final_state_sha256, ..self.recording }
    }
}
