//! Asks about every trial and records the answer, before the next question.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use udvla_policies::with_causes;
use udvla_results::out::printable::printable;
use udvla_results::run::damage::Damage;
use udvla_results::run::differences;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::record::{EpisodeRecord, Seconds, Status};
use udvla_sims::episode::{EpisodeKey, Notes};

use super::drive::{Drive, DriveError, Driven, Driver};
use super::operator::{Answer, Operator, Question, Step};
use super::order::{Trial, order};
use super::plan::Session;
use crate::exit::Refused;
use crate::plan::TakeOver;
use crate::report::GaveUp;
use crate::run::manifest::finish;
use crate::run::record::EpisodeIdentity;
use crate::run::store::Store;
use crate::run::{Ending, Outcome, now};

/// Kind of the error of a trial that says nothing about the policy.
pub const VOID: &str = "void";
/// Kind of the error of a trial in which the robot's side of the connection failed.
const ROBOT: &str = "robot";
/// Kind of the error of a trial in which the policy's server was lost.
const SERVER: &str = "server";
/// Name of the note with the last stage that a failure reached, from 1.
pub const PARTIAL: &str = "partial_stage";
/// Name of the operator's note.
const NOTE: &str = "operator_note";

/// The run of one policy.
struct Arm {
    store: Store,
    manifest: Manifest,
    /// The last record of each trial.
    records: BTreeMap<EpisodeKey, EpisodeRecord>,
}

/// A session whose run directories are open.
pub struct Trials<'a> {
    session: &'a Session,
    driver: Option<Driver>,
    arms: Vec<Arm>,
    /// Trials without an outcome, in order.
    left: VecDeque<Trial>,
    total: usize,
    /// The trial that was judged last, and what became of it.
    last: Option<(Trial, String)>,
    /// Why a policy gave no actions, which ends the session.
    failed: Option<String>,
}

impl<'a> Trials<'a> {
    /// Makes the run directories, or takes those of a session that goes on.
    ///
    /// # Errors
    /// [`Refused`] when a directory is another run's, or in use.
    pub fn open(session: &'a Session, damage: Damage, take_over: TakeOver) -> Result<Self> {
        let directories = session.directories();
        let robot = session.stored.robot.as_ref();
        let driver = robot.map(|robot| Driver::open(robot, &session.protocol)).transpose()?;
        let arms = (0..).zip(&directories).map(|(index, directory)| {
            let mut store = Store::open(directory, take_over)?;
            let mut manifest = session.manifest(index, driver.as_ref())?;
            let mut records = BTreeMap::new();
            if let Some(before) = store.previous_run(damage)? {
                let fields = differences::all(&before.manifest, &manifest, "now");
                if !fields.is_empty() {
                    let text = format!(
                        "`{}` was started with another {}",
                        directory.display(),
                        fields.join("; ")
                    );
                    return Err(Refused::new(text).hint("start a new run with `--out`").into());
                }
                records = before.records;
                manifest.continues(before.manifest);
            }
            store.write_manifest(&manifest)?;
            Ok(Arm { store, manifest, records })
        });
        let arms = arms.collect::<Result<Vec<Arm>>>()?;
        let keys = arms[0].manifest.episodes();
        let all = order(&keys, arms.len(), session.stored.order_seed);
        let total = all.len();
        let record = |trial: &Trial| arms[trial.arm].records.get(&trial.key);
        let is_left = |trial: &Trial| record(trial).and_then(EpisodeRecord::success).is_none();
        // Those that were void come last, as they would have without a break.
        let (void, fresh): (Vec<Trial>, Vec<Trial>) =
            all.into_iter().filter(is_left).partition(|trial| record(trial).is_some());
        let left = fresh.into_iter().chain(void).collect();
        Ok(Self { session, driver, arms, left, total, last: None, failed: None })
    }

    /// Trials that have an outcome.
    pub fn done(&self) -> usize {
        self.total - self.left.len()
    }

    /// Asks `operator` about every trial that is left, and completes the manifests.
    ///
    /// # Errors
    /// When nobody can be asked, or a file cannot be written.
    pub fn run(mut self, operator: &mut dyn Operator) -> Result<Ending> {
        let mut is_complete = true;
        while let Some(trial) = self.left.pop_front() {
            if !self.play(operator, trial)? {
                is_complete = false;
                break;
            }
        }
        let mut ending = Ending::Complete;
        for Arm { mut store, manifest, .. } in self.arms {
            let reached = match (&self.failed, is_complete) {
                (Some(text), _) => Ending::GaveUp(GaveUp::PolicyFailed { message: text.clone() }),
                (None, true) => Ending::Complete,
                (None, false) => Ending::Interrupted,
            };
            let outcome = Outcome {
                ending: reached,
                stopped_early: None,
                batches: Default::default(),
                remarks: BTreeMap::new(),
            };
            ending = finish(&mut store, manifest, Some(outcome))?.context("an ending")?;
        }
        Ok(ending)
    }

    /// One trial; false if the session ends with it.
    fn play(&mut self, operator: &mut dyn Operator, trial: Trial) -> Result<bool> {
        let (begun, started) = (Instant::now(), now());
        if let Err(error) = self.switch(&trial) {
            eprintln!("error: {error:#}");
            return Ok(self.leave(trial));
        }
        let step = if self.driver.is_some() { Step::SetScene } else { Step::Judge };
        let mut answer = operator.ask(&self.question(&trial, step))?;
        let mut driven = Driven::default();
        if answer == Answer::Ready {
            match self.drive(&trial) {
                Ok(done) => {
                    driven = done;
                    answer = operator.ask(&self.question(&trial, Step::JudgeDriven))?;
                }
                Err(DriveError::Policy(error)) => {
                    self.failed = Some(with_causes(&error));
                    return Ok(self.leave(trial));
                }
                Err(error) => {
                    let (kind, what) = match &error {
                        DriveError::Server(_) => (SERVER, "error of the policy's server"),
                        _ => (ROBOT, "error of the robot"),
                    };
                    let text = with_causes(&error);
                    println!("  {}", printable(&text));
                    let record = self.error(&trial, kind, text)?;
                    return self.record(trial, record, &driven, (begun, started), what);
                }
            }
        }
        let (record, text) = match answer {
            Answer::Quit => return Ok(self.leave(trial)),
            Answer::Back => {
                self.left.push_front(trial);
                let (last, _) = self.last.take().expect("a question offers it after an answer");
                self.left.retain(|other| *other != last);
                self.left.push_front(last);
                return Ok(true);
            }
            Answer::Ready => unreachable!("a robot that has stopped is judged"),
            Answer::Success(note) => (self.judged(&trial, 1, notes(None, note))?, "success".into()),
            Answer::Failure(0, note) => {
                (self.judged(&trial, 0, notes(None, note))?, "failure".into())
            }
            Answer::Failure(stage, note) => {
                let record = self.judged(&trial, 0, notes(Some(stage), note))?;
                (record, format!("failure at stage {stage}"))
            }
            Answer::Void(note) => (self.error(&trial, VOID, note)?, "void, repeated later".into()),
        };
        self.record(trial, record, &driven, (begun, started), &text)
    }

    /// Puts a trial back; false, as the session ends.
    fn leave(&mut self, trial: Trial) -> bool {
        self.left.push_front(trial);
        false
    }

    fn drive(&mut self, trial: &Trial) -> Result<Driven, DriveError> {
        let Trial { key, arm } = trial;
        let planned = self.arms[0].manifest.planned(&key.suite, key.task);
        let instruction = planned.map_or(String::new(), |task| task.instruction.clone());
        let max_steps = self.session.protocol.max_steps(key).unwrap_or(0);
        let driver = self.driver.as_mut().expect("only a driver offers it");
        driver.drive(Drive { key, arm: *arm, instruction: &instruction, max_steps })
    }

    /// Stores the record of a trial; one without an outcome comes again after all others.
    fn record(
        &mut self,
        trial: Trial,
        record: EpisodeRecord,
        driven: &Driven,
        (begun, started): (Instant, String),
        text: &str,
    ) -> Result<bool> {
        let seconds = Seconds { wall: begun.elapsed().as_secs_f64(), ..driven.seconds };
        let Driven { actions, width, steps, calls, truncated, timeline, .. } = driven;
        let (steps, calls, truncated) = (*steps, *calls, *truncated);
        let record = EpisodeRecord { seconds, started, steps, calls, truncated, ..record };
        let arm = &mut self.arms[trial.arm];
        let record = arm.store.append(record, actions, *width, timeline)?;
        let is_open = record.status == Status::Error;
        arm.records.insert(trial.key.clone(), record);
        self.last = Some((trial.clone(), format!("{}: {text}", trial.key)));
        if is_open {
            self.left.push_back(trial);
        }
        Ok(true)
    }

    fn question(&self, Trial { key, .. }: &Trial, step: Step) -> Question {
        let protocol = &self.session.protocol;
        let suite = protocol.suite(&key.suite);
        let planned = self.arms[0].manifest.planned(&key.suite, key.task);
        Question {
            // The trial at hand is not among those that are left.
            done: self.total - self.left.len() - 1,
            total: self.total,
            suite: key.suite.clone(),
            task: key.task,
            trial: key.trial,
            instruction: planned.map_or(String::new(), |task| task.instruction.clone()),
            partial: suite.map_or_else(Vec::new, |suite| suite.details.partial()),
            step,
            last: self.last.as_ref().map(|(_, text)| text.clone()),
        }
    }

    /// Has the robot use the trial's policy.
    fn switch(&self, trial: &Trial) -> Result<()> {
        let Some(command) = &self.session.stored.switch else { return Ok(()) };
        let status = Command::new("sh")
            .args(["-c", command])
            .env("UDVLA_POLICY", &self.session.stored.policies[trial.arm])
            .status()
            .with_context(|| format!("cannot start `{command}`"))?;
        anyhow::ensure!(status.success(), "`{command}` ended with {status}, the trial is left");
        Ok(())
    }

    /// The record of a trial with an outcome.
    fn judged(&self, trial: &Trial, stages_completed: u16, notes: Notes) -> Result<EpisodeRecord> {
        let status = Status::Ok;
        Ok(EpisodeRecord { status, stages_completed, notes, ..self.blank(trial)? })
    }

    /// The record of a trial without one.
    fn error(&self, trial: &Trial, kind: &str, message: String) -> Result<EpisodeRecord> {
        let (error_kind, error_message) = (Some(kind.to_owned()), Some(message));
        Ok(EpisodeRecord { error_kind, error_message, ..self.blank(trial)? })
    }

    fn blank(&self, Trial { key, arm }: &Trial) -> Result<EpisodeRecord> {
        let seed = self.session.stored.robot.as_ref().map_or(0, |robot| robot.seed);
        let identity = EpisodeIdentity::new(&self.session.protocol, key, seed)?;
        let before = self.arms[*arm].records.get(key);
        // A correction is not another attempt.
        let attempts = before.map_or(1, |record| match record.status {
            Status::Ok => record.attempts,
            Status::Error => record.attempts + 1,
        });
        Ok(EpisodeRecord { attempts, ..identity.blank(String::new()) })
    }
}

fn notes(stage: Option<u16>, note: String) -> Notes {
    let stage = stage.map(|stage| (PARTIAL.to_owned(), Value::from(stage)));
    let note = (!note.is_empty()).then(|| (NOTE.to_owned(), Value::from(note)));
    stage.into_iter().chain(note).collect()
}
