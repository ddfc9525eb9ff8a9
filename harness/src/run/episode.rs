//! One episode as a state machine between a simulator and the policy.
//!
//! ```text
//! Resetting ──► AskingPolicy ──► Playing ──► Done
//!                     ▲             │
//!                     └─────────────┘
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use udvla_policies::{Answer, PolicyInput};
use udvla_results::run::record::Seconds;
use udvla_results::run::timeline::Timeline;
use udvla_sims::body;
use udvla_sims::checks::{Checks, End};
use udvla_sims::observation::{Image, Observation, SimSpec};
use udvla_sims::process::{SimError, unexpected};
use udvla_sims::wire::{self, Reply, Request, VideoRequest};

use super::clock;
use super::controls::EpisodeControls;
use super::event::Played;
use super::futures::{Futures, Prediction};
use super::record::{EpisodeEnd, EpisodeIdentity};

/// Something that plays episodes: a worker, or a script in tests.
pub trait Simulator {
    /// Sends a request and waits for the reply.
    ///
    /// # Errors
    /// Whatever makes the simulator unusable.
    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(Reply, Vec<u8>), SimError>;
}

/// Why an episode has no record.
#[derive(Debug)]
pub enum Interruption {
    /// The simulator failed.
    Simulator(SimError),
    /// The policy's server was lost, for this reason.
    Server(String),
    /// The run stops.
    Stopped,
    /// The run cannot go on: a file could not be written.
    Fatal(anyhow::Error),
}

impl From<anyhow::Error> for Interruption {
    fn from(error: anyhow::Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<SimError> for Interruption {
    fn from(error: SimError) -> Self {
        Self::Simulator(error)
    }
}

/// Where an episode is.
enum State {
    /// The simulator loads the initial state.
    Resetting,
    /// The policy chooses actions for what is observed after `steps` control steps.
    AskingPolicy { observation: Observation, steps: u32 },
    /// The simulator plays the policy's answer.
    Playing(Answer),
    /// The episode is over.
    Done(Box<Played>),
}

/// An episode that is being played.
pub struct Episode<'a> {
    identity: EpisodeIdentity<'a>,
    spec: &'a SimSpec,
    checks: Checks,
    controls: Option<EpisodeControls>,
    video: Option<VideoRequest>,
    futures: Option<Futures>,
    begun: Instant,
    started: String,
    first_observation: Option<String>,
    calls: u32,
    timeline: Timeline,
    seconds: Seconds,
}

impl<'a> Episode<'a> {
    /// An episode that was not started yet, on a simulator of that `spec` whose replies are
    /// judged by `checks`.
    pub fn new(identity: EpisodeIdentity<'a>, spec: &'a SimSpec, checks: Checks) -> Self {
        Self {
            identity,
            spec,
            checks,
            controls: None,
            video: None,
            futures: None,
            begun: Instant::now(),
            started: clock::now(),
            first_observation: None,
            calls: 0,
            timeline: Timeline {
                action: spec.action.clone(),
                cameras: spec.cameras.iter().map(|camera| camera.name.clone()).collect(),
                control_hz: spec.control_hz,
                ..Timeline::default()
            },
            seconds: Seconds::default(),
        }
    }

    /// Withholds something from the policy.
    pub fn with_controls(mut self, controls: EpisodeControls) -> Self {
        self.controls = Some(controls);
        self
    }

    /// Records it as a video.
    pub fn with_video(mut self, video: Option<VideoRequest>) -> Self {
        self.video = video;
        self
    }

    /// Saves images of the predicted future in a run directory.
    ///
    /// # Errors
    /// When their folder cannot be made.
    pub fn with_futures(mut self, run_directory: &Path) -> anyhow::Result<Self> {
        self.futures = Some(Futures::new(run_directory, self.identity.key)?);
        Ok(self)
    }

    /// Plays it to its end.
    ///
    /// # Errors
    /// When simulator, policy or disk fail, or the run stops.
    pub fn play(
        mut self,
        simulator: &mut impl Simulator,
        policy: &mut impl FnMut(PolicyInput) -> Result<Answer, Interruption>,
    ) -> Result<Played, Interruption> {
        let mut state = State::Resetting;
        loop {
            state = match state {
                State::Resetting => self.reset(simulator)?,
                State::AskingPolicy { observation, steps } => {
                    self.ask_policy(policy, observation, steps)?
                }
                State::Playing(answer) => self.play_answer(simulator, answer)?,
                State::Done(played) => return Ok(*played),
            };
        }
    }

    fn reset(&mut self, simulator: &mut impl Simulator) -> Result<State, Interruption> {
        self.look_at_other_trial(simulator)?;
        let key = self.identity.key.clone();
        self.simulate(simulator, &Request::Reset { key, video: self.video.clone() }, &[])
    }

    /// Gives the controls the first observation of the trial that they want to show, if any.
    fn look_at_other_trial(&mut self, simulator: &mut impl Simulator) -> Result<(), Interruption> {
        let Some(controls) = &mut self.controls else { return Ok(()) };
        let Some(key) = controls.other().cloned() else { return Ok(()) };
        let request = Request::Reset { key, video: None };
        self.checks.asked(&request, &[]);
        let asked = Instant::now();
        let (reply, body) = simulator.ask(&request, &[])?;
        self.seconds.sim += asked.elapsed().as_secs_f64();
        let (images, state) = self.checks.observed(&reply, &body)?;
        controls.hold(images, state);
        Ok(())
    }

    fn play_answer(
        &mut self,
        simulator: &mut impl Simulator,
        answer: Answer,
    ) -> Result<State, Interruption> {
        match answer {
            Answer::Chunk(decision) => {
                let width = u16::try_from(decision.actions.width).unwrap_or(u16::MAX);
                let body = wire::to_bytes(&decision.actions.values);
                self.simulate(simulator, &Request::Play { width }, &body)
            }
            Answer::Script { steps } => self.simulate(simulator, &Request::Script { steps }, &[]),
            Answer::Lost(reason) => Err(Interruption::Server(reason)),
        }
    }

    /// Sends a request to the simulator; its reply decides the next state.
    fn simulate(
        &mut self,
        simulator: &mut impl Simulator,
        request: &Request,
        body: &[u8],
    ) -> Result<State, Interruption> {
        self.checks.asked(request, body);
        let asked = Instant::now();
        let (reply, body) = simulator.ask(request, body)?;
        self.seconds.sim += asked.elapsed().as_secs_f64();
        match &reply {
            Reply::Observed { stage, steps, instruction, .. } => {
                let (images, state) = self.checks.observed(&reply, &body)?;
                self.first_observation
                    .get_or_insert_with(|| body::observation_sha256(&body, instruction));
                let (stage, steps) = (*stage, *steps);
                self.save_future(steps, &images)?;
                let instruction = Arc::from(instruction.as_str());
                let observation = Observation { images, state, instruction, stage };
                Ok(State::AskingPolicy { observation, steps })
            }
            Reply::Finished { .. } => {
                self.finish(reply, &body).map(|played| State::Done(Box::new(played)))
            }
            Reply::Ready { .. } | Reply::Demonstrated { .. } | Reply::Raised { .. } => {
                Err(unexpected(&reply).into())
            }
        }
    }

    fn ask_policy(
        &mut self,
        policy: &mut impl FnMut(PolicyInput) -> Result<Answer, Interruption>,
        observation: Observation,
        steps: u32,
    ) -> Result<State, Interruption> {
        let EpisodeIdentity { key, seed, .. } = self.identity;
        let call = self.calls;
        let observation = match &mut self.controls {
            Some(controls) => controls.apply(observation),
            None => observation,
        };
        self.timeline.ask(steps, observation.stage, &observation.instruction);
        let observed = self.futures.is_some().then(|| observation.images.clone());
        let asked = Instant::now();
        let answer = policy(PolicyInput { key: key.clone(), call, seed, seat: 0, observation })?;
        self.seconds.policy += asked.elapsed().as_secs_f64();
        self.calls += 1;
        if let (Some(futures), Some(observed), Answer::Chunk(decision)) =
            (&mut self.futures, observed, &answer)
        {
            let predicted = decision.future.clone();
            futures.predict(Prediction { call, steps, observed, predicted });
        }
        Ok(State::Playing(answer))
    }

    /// The record of the episode, from [`Reply::Finished`].
    fn finish(&mut self, reply: Reply, body: &[u8]) -> Result<Played, Interruption> {
        let End { actions, images } = self.checks.finished(&reply, body)?;
        let Reply::Finished {
            stages_completed,
            steps,
            truncated,
            final_state_sha256,
            video,
            notes,
            ..
        } = reply
        else {
            return Err(unexpected(&reply).into());
        };
        let width = self.spec.action.len();
        self.save_future(steps, &images)?;
        self.seconds.wall = self.begun.elapsed().as_secs_f64();
        let record = self.identity.played(EpisodeEnd {
            stages_completed,
            steps,
            calls: self.calls,
            truncated,
            seconds: self.seconds,
            started: self.started.clone(),
            first_observation_sha256: self.first_observation.take(),
            final_state_sha256,
            notes,
            video: video.then(|| format!("videos/{}.mp4", self.identity.key)),
        });
        let futures = self.futures.take().and_then(|futures| futures.grid);
        let timeline = Timeline { futures, ..std::mem::take(&mut self.timeline) };
        Ok(Played { record, actions, width, timeline })
    }

    /// Saves what the policy predicted of the chunk that was just played.
    fn save_future(&mut self, steps: u32, observed: &[Image]) -> anyhow::Result<()> {
        self.futures.as_mut().map_or(Ok(()), |futures| futures.save(steps, observed))
    }
}

#[cfg(test)]
#[path = "episode_tests.rs"]
mod tests;
