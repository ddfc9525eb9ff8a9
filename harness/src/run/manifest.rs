//! The manifest of a run: made at its start, continued, completed at its end.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use udvla_policies::PolicySpec;
use udvla_results::run::differences;
use udvla_results::run::manifest::{BatchCounts, EpisodeCounts, Manifest, RunStatus, SCHEMA};
use udvla_results::run::read::Run;
use udvla_results::run::record::Status;
use udvla_results::run::seal::new_run_id;
use udvla_sims::identity::{Setting, Subject};

use super::clock;
use super::ending::{Ending, Outcome};
use super::store::Store;
use crate::benchmarks;
use crate::exit::Refused;
use crate::locked;
use crate::plan::Plan;
use crate::report::Heading;

/// Beginning of the names of facts that belong to the machine.
pub(super) const MACHINE: &str = "machine.";

/// The manifest of a run that starts: enough for `resume`. What only the policy and the first
/// simulator tell is added by [`identify`].
///
/// # Errors
/// When the system gives no random bytes for the run's id.
pub fn start(plan: &Plan, command: Vec<String>) -> Result<Manifest> {
    let seed = Some(plan.execution.seed);
    let policy = Some(plan.policy.name().to_owned());
    let name = plan.directory.file_name().map_or("run".into(), |name| name.to_string_lossy());
    let here = std::env::current_dir().unwrap_or_default();
    Ok(Manifest {
        schema: SCHEMA,
        run: name.into_owned(),
        id: Some(new_run_id().context("cannot make an id for the run")?),
        status: RunStatus::Running,
        protocol_fingerprint: plan.protocol.fingerprint(),
        protocol: plan.protocol.clone(),
        subject: plan.controls.of_subject(Subject { policy, seed, ..Subject::default() }),
        setting: Setting::default(),
        software: software(),
        machine: machine(),
        command,
        directory: here.to_string_lossy().into_owned(),
        plan: plan.tasks.clone(),
        parts: plan.parts.clone(),
        merged: vec![],
        records: None,
        resolved: Some(plan.resolved()),
        episodes: EpisodeCounts { asked: plan.episodes().len() as u32, ok: 0, error: 0 },
        batches: BatchCounts::default(),
        remarks: BTreeMap::new(),
        started: clock::now(),
        ended: None,
        stopped_early: None,
        published: plan.published.clone(),
    })
}

/// Whether it is the manifest of a run that was stopped before its first simulator was open.
pub fn is_of_a_start(manifest: &Manifest) -> bool {
    manifest.setting == Setting::default()
}

/// Completes the manifest of a start with the policy's facts and what the first worker reports about
/// the simulator and its machine.
///
/// # Errors
/// When the adapters cannot be read.
pub fn identify(
    manifest: &mut Manifest,
    plan: &Plan,
    policy: &PolicySpec,
    mut setting: BTreeMap<String, String>,
) -> Result<()> {
    setting.extend(BTreeMap::from(policy.setting.clone()));
    let benchmark = benchmarks::of_protocol(&plan.protocol)?;
    locked::judge(&mut setting, benchmark.facts().environment.lock);
    manifest.machine.extend(facts_of_machine(&mut setting));
    let adapters = plan.simulator.adapters_digest()?;
    setting.extend(adapters.map(|digest| ("adapters".into(), digest)));
    manifest.setting = setting.into();
    let seed = manifest.subject.seed;
    manifest.subject = plan.controls.of_subject(Subject { seed, ..policy.subject.clone() });
    Ok(())
}

/// Takes out what a worker reports of its machine (`machine.libc`), which is recorded and never
/// compared.
fn facts_of_machine(setting: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    let taken = setting.extract_if(.., |name, _| name.starts_with(MACHINE));
    taken.map(|(name, value)| (name[MACHINE.len()..].to_owned(), value)).collect()
}

/// Makes `manifest` that of a run which continues `before`, as `plan` says.
///
/// # Errors
/// [`Refused`] with every field that differs, when protocol, subject or setting do; devices may,
/// where they were chosen anew.
pub fn continue_run(manifest: &mut Manifest, before: &Run, plan: &Plan) -> Result<()> {
    let mut before = before.manifest.clone();
    if plan.new_devices && before.setting.device != manifest.setting.device {
        let name = |device: &Option<String>| device.clone().unwrap_or_default();
        let (then, now) = (name(&before.setting.device), name(&manifest.setting.device));
        eprintln!("note: device `{then}` before, `{now}` now");
        before.setting.device.clone_from(&manifest.setting.device);
    }
    let fields = differences::all(&before, manifest, "now");
    if !fields.is_empty() {
        let fields = fields.join("; ");
        let text = format!("`{}` was started with another {fields}", plan.directory.display());
        return Err(Refused::new(text).hint("start a new run with `--out`").into());
    }
    manifest.continues(before);
    manifest.episodes.asked = manifest.episodes().len() as u32;
    Ok(())
}

/// Writes the manifest of a run that ended, and returns how. `None` as an outcome: it was cut short
/// by an error.
///
/// # Errors
/// When the records cannot be read or the manifest not be written.
pub fn finish(
    store: &mut Store,
    mut manifest: Manifest,
    outcome: Option<Outcome>,
) -> Result<Option<Ending>> {
    let records = store.read()?.records;
    let episodes = manifest.episodes();
    let count = |status: Status| {
        let records = episodes.iter().filter_map(|key| records.get(key));
        records.filter(|record| record.status == status).count() as u32
    };
    let (ok, error) = (count(Status::Ok), count(Status::Error));
    manifest.episodes = EpisodeCounts { asked: episodes.len() as u32, ok, error };
    let ending = outcome.map(|outcome| {
        manifest.stopped_early = outcome.stopped_early;
        manifest.batches.batches += outcome.batches.batches;
        manifest.batches.rows += outcome.batches.rows;
        manifest.batches.seconds += outcome.batches.seconds;
        for (kind, count) in outcome.remarks {
            *manifest.remarks.entry(kind).or_default() += count;
        }
        outcome.ending.of_directory(manifest.episodes)
    });
    write_ended(store, manifest, ending.as_ref())?;
    Ok(ending)
}

/// Writes the manifest of a run that ended so, or was cut short by an error.
///
/// # Errors
/// When it cannot be written.
pub fn write_ended(
    store: &mut Store,
    mut manifest: Manifest,
    ending: Option<&Ending>,
) -> Result<()> {
    manifest.status = ending.map_or(RunStatus::Interrupted, Ending::status);
    manifest.ended = Some(clock::now());
    store.write_manifest(&manifest)
}

/// What is shown of a run that starts, of which `done` episodes have a record.
pub fn heading(plan: &Plan, manifest: &Manifest, done: usize) -> Heading {
    let mut subject = BTreeMap::from(manifest.subject.clone());
    Heading {
        protocol: manifest.protocol.name.clone(),
        version: manifest.protocol.version,
        fingerprint: manifest.protocol_fingerprint.clone(),
        policy: subject.remove("policy").unwrap_or_default(),
        subject,
        workers: plan.execution.workers,
        setting: manifest.setting.clone().into(),
        directory: plan.directory.clone(),
        done,
    }
}

/// This program: version, commit, profile.
pub fn software() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("udvla-eval".into(), env!("CARGO_PKG_VERSION").into()),
        ("commit".into(), env!("UDVLA_COMMIT").into()),
        ("profile".into(), if cfg!(debug_assertions) { "debug" } else { "release" }.into()),
    ])
}

/// The machine, as far as the system tells: processor, cores, memory, accelerators.
pub fn machine() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut machine = BTreeMap::from([("cores".into(), cores.to_string())]);
    machine.extend(crate::machine::host().map(|name| ("host".into(), name)));
    machine.extend(
        value_of("/proc/cpuinfo".as_ref(), "model name").map(|text| ("processor".into(), text)),
    );
    machine
        .extend(value_of("/proc/meminfo".as_ref(), "MemTotal").map(|text| ("memory".into(), text)));
    let names = accelerators();
    if !names.is_empty() {
        machine.insert("accelerators".into(), names.join(", "));
    }
    machine
}

/// Names of the NVIDIA devices, as their driver gives them; empty without one.
pub fn accelerators() -> Vec<String> {
    let folders = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .filter_map(|folder| value_of(&folder.path().join("information"), "Model"))
        .collect();
    names.sort();
    names
}

/// The text after the colon of the first line that begins with `key`.
fn value_of(file: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
