//! Lets policies drive a robot, a trial at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use udvla_policies::{Answer, Policy, PolicyError, PolicyInput};
use udvla_results::run::record::Seconds;
use udvla_results::run::timeline::Timeline;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::identity::Subject;
use udvla_sims::observation::{ActionChunk, SimSpec};
use udvla_sims::protocol::Protocol;

use super::robot::{Robot, RobotError};
use crate::exit::Refused;
use crate::plan::PolicyPlan;
use crate::policy;

/// How a robot is driven: stored in `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobotPlan {
    /// `ws://HOST:PORT`.
    pub address: String,
    /// Longest answer of the robot, in seconds.
    pub timeout: f64,
    /// Seed of the policies' sampling noise.
    pub seed: u64,
    /// The policies, in the order of their run directories.
    pub policies: Vec<PolicyPlan>,
}

/// Policies and the robot that they drive.
pub struct Driver {
    plan: RobotPlan,
    /// None after it failed: the next trial connects again.
    robot: Option<Robot>,
    name: String,
    spec: SimSpec,
    policies: Vec<Box<dyn Policy>>,
}

/// A trial that is to be driven.
#[derive(Debug, Clone, Copy)]
pub struct Drive<'a> {
    /// The trial.
    pub key: &'a EpisodeKey,
    /// Index of the policy.
    pub arm: usize,
    /// What the policy is told.
    pub instruction: &'a str,
    /// Control steps, at most.
    pub max_steps: u32,
}

/// A trial that was driven.
#[derive(Debug, Default)]
pub struct Driven {
    /// Executed actions, step by step.
    pub actions: Vec<f32>,
    /// Numbers per action.
    pub width: usize,
    /// Control steps executed.
    pub steps: u32,
    /// Calls of the policy.
    pub calls: u32,
    /// Whether the step limit ended it.
    pub truncated: bool,
    /// What the policy was told, and when.
    pub timeline: Timeline,
    /// In the robot, and in the policy.
    pub seconds: Seconds,
}

/// Why a trial could not be driven to its end.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The robot: the trial is repeated later.
    #[error(transparent)]
    Robot(#[from] RobotError),
    /// The policy's server, or the way to it: the trial is repeated later.
    #[error("{0}")]
    Server(String),
    /// The policy: the session ends.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Driver {
    /// Opens the policies, connects to the robot, and checks that they fit.
    ///
    /// # Errors
    /// [`Refused`] when a policy cannot be opened, no robot answers, or they do not fit.
    pub fn open(plan: &RobotPlan, protocol: &Protocol) -> Result<Self> {
        let mut policies = Vec::new();
        for policy in &plan.policies {
            // One device per policy: one robot asks for one chunk at a time.
            policies.extend(policy::open_one(policy, protocol, 1, false)?.into_iter().take(1));
        }
        let robot = connect(plan).map_err(|error| {
            Refused::new("the robot cannot be used")
                .because(error)
                .hint("start the robot's server (docs/real-robot.md), or name it with `--robot`")
        })?;
        for policy in &policies {
            policy::check_fit(policy.spec(), &robot.spec)?;
        }
        let (name, spec) = (robot.name.clone(), robot.spec.clone());
        Ok(Self { plan: plan.clone(), robot: Some(robot), name, spec, policies })
    }

    /// What is tested in the run directory of policy `arm`.
    pub fn subject(&self, arm: usize) -> Subject {
        let subject = self.policies[arm].spec().subject.clone();
        Subject { seed: Some(self.plan.seed), ..subject }
    }

    /// The robot and the policy's device.
    pub fn setting(&self, arm: usize) -> BTreeMap<String, String> {
        let mut setting = BTreeMap::from(self.policies[arm].spec().setting.clone());
        setting.insert("robot".into(), self.name.clone());
        setting
    }

    /// Drives a trial until the robot ends it or the step limit is reached.
    ///
    /// # Errors
    /// When the robot or the policy fails.
    pub fn drive(&mut self, drive: Drive<'_>) -> Result<Driven, DriveError> {
        let mut robot = match self.robot.take() {
            Some(robot) => robot,
            None => self.connect_again()?,
        };
        let driven = self.with(&mut robot, drive);
        match &driven {
            // A robot is not trusted after an error.
            Err(DriveError::Robot(_)) => {}
            Err(DriveError::Policy(_) | DriveError::Server(_)) => robot.stop()?,
            Ok(_) => self.robot = Some(robot),
        }
        driven
    }

    fn connect_again(&self) -> Result<Robot, RobotError> {
        let robot = connect(&self.plan)?;
        if robot.spec != self.spec || robot.name != self.name {
            return Err(RobotError::Content("is that of another robot than before".into()));
        }
        Ok(robot)
    }

    fn with(&mut self, robot: &mut Robot, drive: Drive<'_>) -> Result<Driven, DriveError> {
        let Drive { key, arm, instruction, max_steps } = drive;
        let mut driven = Driven {
            width: self.spec.action.len(),
            timeline: Timeline {
                action: self.spec.action.clone(),
                cameras: self.spec.cameras.iter().map(|camera| camera.name.clone()).collect(),
                control_hz: self.spec.control_hz,
                ..Timeline::default()
            },
            ..Driven::default()
        };
        let mut observation =
            Some(timed(&mut driven.seconds.sim, || robot.begin(key, instruction))?);
        while let Some(seen) = observation.take() {
            driven.timeline.ask(driven.steps, 0, instruction);
            let input = PolicyInput {
                key: key.clone(),
                call: driven.calls,
                seed: self.plan.seed,
                seat: 0,
                observation: seen,
            };
            let policy = &mut self.policies[arm];
            let answers = timed(&mut driven.seconds.policy, || policy.infer(&[input]))?;
            driven.calls += 1;
            let mut chunk = chunk(answers, key, driven.width)?;
            let left = (max_steps - driven.steps) as usize;
            chunk.values.truncate(left.min(chunk.steps()) * driven.width);
            let moved = timed(&mut driven.seconds.sim, || robot.act(&chunk, instruction))?;
            driven.actions.extend(&chunk.values[..moved.steps * driven.width]);
            driven.steps += moved.steps as u32;
            observation = moved.observation;
            if driven.steps >= max_steps && observation.is_some() {
                driven.truncated = true;
                robot.stop()?;
                observation = None;
            }
        }
        Ok(driven)
    }
}

fn connect(plan: &RobotPlan) -> Result<Robot, RobotError> {
    Robot::connect(&plan.address, Duration::from_secs_f64(plan.timeout))
}

/// The actions of the answer to one input. Nothing but finite numbers reaches a robot.
fn chunk(answers: Vec<Answer>, key: &EpisodeKey, width: usize) -> Result<ActionChunk, DriveError> {
    let decision = match answers.into_iter().next() {
        Some(Answer::Chunk(decision)) => decision,
        Some(Answer::Lost(reason)) => return Err(DriveError::Server(reason)),
        Some(Answer::Script { .. }) | None => {
            let text = "the policy has no actions for a robot".to_owned();
            return Err(PolicyError::Model(text).into());
        }
    };
    let actions = decision.actions;
    let is_finite = actions.values.iter().all(|value| value.is_finite());
    if actions.width != width || actions.values.is_empty() || !is_finite {
        let text = format!(
            "the policy's actions for {key} are {} numbers of {}, all finite: {is_finite}",
            actions.values.len(),
            actions.width
        );
        return Err(PolicyError::Model(text).into());
    }
    Ok(actions)
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    *seconds += begun.elapsed().as_secs_f64();
    done
}
