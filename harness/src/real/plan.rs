//! What a session on a real robot is: stored in `run.json`, and resumed from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use udvla_policies::remote::Address;
use udvla_results::run::files::read_inside;
use udvla_results::run::manifest::{
    BatchCounts, EpisodeCounts, Manifest, PlannedTask, RunStatus, SCHEMA,
};
use udvla_results::run::seal::new_run_id;
use udvla_sims::identity::{Setting, Subject};
use udvla_sims::protocol::Protocol;

use super::drive::{Driver, RobotPlan};
use super::order::is_swapped;
use crate::exit::Refused;
use crate::plan::{PolicyPlan, Trust};
use crate::run::manifest::{machine, software};
use crate::run::now;

/// Folders of the two policies of a session, in the folder of the session.
const ARMS: [&str; 2] = ["1", "2"];

/// A session, decided.
#[derive(Debug, Clone)]
pub struct Session {
    /// The tasks.
    pub protocol: Protocol,
    /// Tasks and trials of each policy, in the protocol's order.
    pub tasks: Vec<PlannedTask>,
    /// The run directory, or with two policies the folder of both.
    pub directory: PathBuf,
    /// The rest, as stored.
    pub stored: Stored,
    /// What started it, for information.
    pub command: Vec<String>,
}

/// What `run.json` stores of a session beside protocol and tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Names of the policies, in the order of their run directories.
    pub policies: Vec<String>,
    /// Seed of the order of trials.
    pub order_seed: u64,
    /// A command that makes the robot use the policy named in `UDVLA_POLICY`, before each trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// The robot that this program drives; absent where trials are judged only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<RobotPlan>,
}

/// The value of `resolved` in `run.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Resolved {
    real: Stored,
}

impl Stored {
    /// The policies in the order of their run directories, which the seed decides: the number of a
    /// directory tells nothing.
    #[must_use]
    pub fn in_drawn_order(mut self) -> Self {
        if is_swapped(self.order_seed) {
            self.policies.reverse();
            self.robot.iter_mut().for_each(|robot| robot.policies.reverse());
        }
        self
    }

    /// Whether the operator must not know which policy acts.
    pub fn is_blinded(&self) -> bool {
        self.policies.len() > 1
    }
}

impl Session {
    /// The session of a run directory, or of the folder of two; `None` for a run in a simulator.
    ///
    /// # Errors
    /// [`Refused`] when this version cannot read its plan.
    pub fn stored(path: &Path) -> Result<Option<Self>> {
        let folder = if is_run(&path.join(ARMS[0])) { path.join(ARMS[0]) } else { path.to_owned() };
        let Ok(bytes) = read_inside(&folder, Path::new("run.json")) else { return Ok(None) };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { return Ok(None) };
        let Some(resolved) = manifest.resolved.filter(|value| value.get("real").is_some()) else {
            return Ok(None);
        };
        let Resolved { real: stored } = serde_json::from_value(resolved).map_err(|error| {
            Refused::new("this version cannot read the session's plan")
                .because(error)
                .hint("resume with the version that started it, which `run.json` names")
        })?;
        let directory = match stored.is_blinded() {
            true => folder.canonicalize()?.parent().context("a folder in a folder")?.to_owned(),
            false => folder,
        };
        let Manifest { protocol, plan: tasks, command, .. } = manifest;
        Ok(Some(Self { protocol, tasks, directory, stored, command }))
    }

    /// What a resume does that only the user can vouch for: the command that the directory names, a
    /// robot or a policy's server on another machine.
    pub fn needs_trust(&self) -> Option<String> {
        if let Some(command) = &self.stored.switch {
            return Some(format!("would start a command of its own, `{command}`"));
        }
        let robot = self.stored.robot.as_ref()?;
        let is_local = robot.address.parse().is_ok_and(|address: Address| address.is_local());
        if !is_local {
            return Some(format!("would drive a robot on another machine, `{}`", robot.address));
        }
        let server = robot.policies.iter().find_map(PolicyPlan::distant_server)?;
        Some(format!("asks a policy server on another machine, `{server}`"))
    }

    /// Refuses what [`Self::needs_trust`] finds, unless the user trusts the directory.
    ///
    /// # Errors
    /// [`Refused`] with what it is.
    pub fn distrust(&self, trust: Trust) -> Result<()> {
        match self.needs_trust() {
            Some(what) if trust == Trust::Installation => {
                Err(Refused::new(format!("the session {what}"))
                    .hint("`--trust` starts what the directory names")
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// The run directory of each policy.
    pub fn directories(&self) -> Vec<PathBuf> {
        match self.stored.is_blinded() {
            true => ARMS.iter().map(|arm| self.directory.join(arm)).collect(),
            false => vec![self.directory.clone()],
        }
    }

    /// The manifest of the run of policy `arm` as it starts, with what a driver tells of it.
    ///
    /// # Errors
    /// When the system gives no random bytes for the run's id.
    pub fn manifest(&self, arm: usize, driver: Option<&Driver>) -> Result<Manifest> {
        let real = self.stored.clone();
        let name = match self.stored.is_blinded() {
            true => format!("{}-{}", name_of(&self.directory), ARMS[arm]),
            false => name_of(&self.directory),
        };
        let policy = Some(real.policies[arm].clone());
        let named = || Subject { policy, ..Subject::default() };
        let asked = self.tasks.iter().map(|task| u32::from(task.trials)).sum();
        let here = std::env::current_dir().unwrap_or_default();
        Ok(Manifest {
            schema: SCHEMA,
            run: name,
            id: Some(new_run_id().context("cannot make an id for the run")?),
            status: RunStatus::Running,
            protocol_fingerprint: self.protocol.fingerprint(),
            protocol: self.protocol.clone(),
            subject: driver.map_or_else(named, |driver| driver.subject(arm)),
            setting: self.setting(driver.map(|driver| driver.setting(arm))),
            software: software(),
            machine: machine(),
            command: self.command.clone(),
            directory: here.to_string_lossy().into_owned(),
            plan: self.tasks.clone(),
            records: None,
            resolved: Some(serde_json::to_value(Resolved { real }).context("a plan of strings")?),
            episodes: EpisodeCounts { asked, ok: 0, error: 0 },
            batches: BatchCounts::default(),
            remarks: BTreeMap::new(),
            parts: vec![],
            merged: vec![],
            started: now(),
            ended: None,
            stopped_early: None,
            published: None,
        })
    }

    fn setting(&self, driven: Option<BTreeMap<String, String>>) -> Setting {
        let facts = [
            ("judged_by", "operator".to_owned()),
            ("blinded", if self.stored.is_blinded() { "yes" } else { "no" }.to_owned()),
            ("order_seed", self.stored.order_seed.to_string()),
        ];
        let robot = ("robot".to_owned(), "not driven".to_owned());
        let mut setting = driven.unwrap_or_else(|| BTreeMap::from([robot]));
        setting.extend(facts.map(|(name, value)| (name.to_owned(), value)));
        setting.into()
    }
}

fn is_run(directory: &Path) -> bool {
    directory.join("run.json").is_file()
}

fn name_of(directory: &Path) -> String {
    directory.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_what_is_on_another_machine_need_trust() {
        let session = |switch: Option<&str>, robot: Option<&str>| {
            let robot = robot.map(|address| RobotPlan {
                address: address.into(),
                timeout: 1.0,
                seed: 0,
                policies: vec![PolicyPlan::Weightless { name: "idle".into() }],
            });
            let (policies, switch) = (vec!["idle".into()], switch.map(String::from));
            Session {
                protocol: Protocol::real(),
                tasks: vec![],
                directory: "run".into(),
                stored: Stored { policies, order_seed: 0, switch, robot },
                command: vec![],
            }
        };
        for (switch, robot, expected) in [
            (None, None, None),
            (None, Some("ws://127.0.0.1:9000"), None),
            (None, Some("ws://robot:9000"), Some("drive a robot on another machine")),
            (Some("./serve"), None, Some("a command of its own")),
        ] {
            let session = session(switch, robot);
            let found = session.needs_trust();
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
            assert_eq!(session.distrust(Trust::Installation).is_err(), expected.is_some());
            assert!(session.distrust(Trust::Directory).is_ok());
        }
    }
}
