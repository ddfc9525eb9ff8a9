//! The beginning of an episode that a policy plays, before the expert takes over: demonstrations of
//! how to go on from where the policy gets.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use udvla_policies::{Answer, Policy, PolicyInput, with_causes};
use udvla_sims::observation::ActionChunk;
use udvla_sims::wire::{Reply, Request, to_bytes};

use super::noise::Draws;
use super::recording::{Ended, Interruption, PATIENCE, Playing};

/// Chunks that a policy plays, at least and at most.
const CHUNKS: (u32, u32) = (1, 9);

/// The policy that is corrected, as one simulator asks it.
#[derive(Clone, Copy)]
pub struct Learner<'a> {
    /// The policy, which answers one simulator at a time.
    pub policy: &'a Mutex<Box<dyn Policy>>,
    /// Which simulator asks.
    pub seat: usize,
}

impl Learner<'_> {
    /// The answer to the last observation of an episode.
    fn ask(&self, playing: &Playing, call: u32) -> Result<ActionChunk, Interruption> {
        let input = PolicyInput {
            key: playing.recording.key.clone(),
            call,
            seed: playing.collection.seed,
            seat: self.seat,
            observation: playing.observation.clone(),
        };
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = policy.infer(&[input]).map_err(|error| anyhow::anyhow!(with_causes(&error)));
        let answer = answers.and_then(|answers| {
            match answers.into_iter().next().context("an answer per input")? {
                Answer::Chunk(decision) => Ok(decision.actions),
                Answer::Script { .. } => bail!("the policy is the expert itself"),
                Answer::Lost(reason) => bail!(reason),
            }
        });
        answer.map_err(Interruption::Policy)
    }
}

impl Playing<'_> {
    /// Lets the policy play as many chunks as are drawn for the episode, or until the end.
    pub fn start(&mut self, learner: Learner) -> Result<Option<Ended>, Interruption> {
        let (seed, key) = (self.collection.seed, &self.recording.key);
        let chunks = Draws::new(seed, key, "chunks").integer(CHUNKS);
        for call in 0..chunks {
            let chunk = learner.ask(self, call)?;
            let mut rest = chunk.values.as_slice();
            while !rest.is_empty() {
                let most = self.until_observation() * chunk.width;
                let (next, after) = rest.split_at(most.min(rest.len()));
                if let Some(ended) = self.play(next)? {
                    return Ok(Some(ended));
                }
                rest = after;
            }
        }
        Ok(None)
    }

    /// Plays actions of the policy; records them, and the observation after them.
    fn play(&mut self, actions: &[f32]) -> Result<Option<Ended>, Interruption> {
        let width = self.recording.width;
        let request = Request::Play { width: u16::try_from(width).unwrap_or(u16::MAX) };
        let body = to_bytes(actions);
        self.checks.asked(&request, &body);
        let (reply, body) = self.simulator.worker.ask(&request, &body, PATIENCE)?;
        let before = self.played();
        match &reply {
            Reply::Finished { steps, truncated, final_state_sha256, .. } => {
                self.checks.finished(&reply, &body)?;
                self.took(actions, *steps as usize - before);
                let (success, state) = (!truncated, final_state_sha256.clone());
                Ok(Some(Ended { success, final_state_sha256: state }))
            }
            Reply::Observed { steps, .. } => {
                let (steps, _) = (*steps as usize, self.checks.observed(&reply, &body)?);
                self.took(actions, steps - before);
                self.demonstrate(0)?;
                Ok(None)
            }
            _ => Err(udvla_sims::process::unexpected(&reply).into()),
        }
    }

    /// Records the first steps of these actions as the policy's.
    fn took(&mut self, actions: &[f32], steps: usize) {
        let taken = &actions[..(steps * self.recording.width).min(actions.len())];
        self.recording.labels.extend(taken);
        self.recording.executed.extend(taken);
        self.recording.noisy.extend(vec![0; steps]);
        self.recording.expert.extend(vec![0; steps]);
    }
}
