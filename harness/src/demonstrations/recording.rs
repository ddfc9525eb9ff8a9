//! One episode, played by the expert and recorded.

use std::time::Duration;

use udvla_policies::vision::resize_bicubic;
use udvla_sims::body::Demonstration;
use udvla_sims::checks::Checks;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::{SimError, unexpected};
use udvla_sims::wire::{DemonstrationEnd, OpenConfig, Reply, Request, to_bytes};

use super::noise::{Draws, Offsets};
use super::plan::Collection;
use crate::simulator::Simulator;

/// Longest request.
const PATIENCE: Duration = Duration::from_secs(300);

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
    /// Whether all stages were completed.
    pub success: bool,
    /// SHA-256 (hex) of the simulator's last state.
    pub final_state_sha256: String,
}

/// An episode that is being played.
struct Playing<'a> {
    collection: &'a Collection,
    simulator: &'a mut Simulator,
    checks: Checks,
    offsets: Offsets,
    recording: Recording,
}

/// Plays an episode and records it.
///
/// # Errors
/// When the simulator fails; it must not be used again.
pub fn record(
    collection: &Collection,
    simulator: &mut Simulator,
    key: &EpisodeKey,
) -> Result<Recording, SimError> {
    let mut playing = Playing::reset(collection, simulator, key)?;
    playing.demonstrate(0)?;
    let every = usize::from(collection.every);
    loop {
        let count = every - playing.played() % every;
        if let Some(end) = playing.demonstrate(count)? {
            return Ok(playing.finish(end));
        }
    }
}

impl<'a> Playing<'a> {
    fn reset(
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
        checks.observed(&reply, &body)?;
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
            success: false,
            final_state_sha256: String::new(),
        };
        Ok(Self { collection, simulator, checks, offsets, recording })
    }

    /// Control steps played so far.
    fn played(&self) -> usize {
        self.recording.labels.len() / self.recording.width
    }

    /// Lets the expert play `count` steps, or until the end, and records them with the observation
    /// after them.
    fn demonstrate(&mut self, count: usize) -> Result<Option<Ended>, SimError> {
        let width = self.recording.width;
        let too_many = |_| SimError::Wire("a number that does not fit the wire".into());
        let request = Request::Demonstrate {
            steps: u16::try_from(count).map_err(too_many)?,
            width: u16::try_from(width).map_err(too_many)?,
        };
        let body = to_bytes(&self.offsets.of_steps(self.played(), count));
        self.checks.asked(&request, &body);
        let (reply, body) = self.simulator.worker.ask(&request, &body, PATIENCE)?;
        let (demonstration, end) = self.checks.demonstrated(&reply, &body)?;
        self.take(&demonstration);
        let Reply::Demonstrated { steps, .. } = reply else { return Err(unexpected(&reply)) };
        self.recording.steps.push(i64::from(steps));
        Ok(end.map(|end| {
            let success = !end.truncated;
            Ended { success, end }
        }))
    }

    fn take(&mut self, demonstration: &Demonstration) {
        let recording = &mut self.recording;
        recording.labels.extend(&demonstration.labels);
        recording.executed.extend(&demonstration.executed);
        recording.state.extend(&demonstration.state);
        recording.target.extend(demonstration.target.as_slice().as_flattened());
        let images = demonstration.images.iter().zip(&self.collection.sizes);
        for (view, (image, size)) in recording.views.iter_mut().zip(images) {
            let (from, side) = ((image.height as usize, image.width as usize), usize::from(*size));
            view.extend(resize_bicubic(&image.rgb, from, (side, side)));
        }
    }

    fn finish(mut self, ended: Ended) -> Recording {
        self.recording.noisy = self.offsets.noisy[..self.played()].to_vec();
        let Ended { success, end } = ended;
        let DemonstrationEnd { final_state_sha256, .. } = end;
        Recording { success, final_state_sha256, ..self.recording }
    }
}

/// How an episode ended.
struct Ended {
    success: bool,
    end: DemonstrationEnd,
}
