//! What a run is: its manifest, its plan in words, its heading.

use std::collections::BTreeMap;

use udvla_policies::PolicySpec;
use udvla_results::manifest::{
    BatchCounts, EpisodeCounts, Manifest, PlannedTask, RunStatus, SCHEMA,
};

use crate::plan::{self, Plan};

/// The manifest of a run that starts.
pub fn manifest(
    plan: &Plan,
    spec: &PolicySpec,
    setting: BTreeMap<String, String>,
    command: Vec<String>,
) -> Manifest {
    let mut subject = spec.subject.clone();
    subject.insert("seed".into(), plan.run.seed.to_string());
    let name = plan.directory.file_name().map_or("run".into(), |name| name.to_string_lossy());
    Manifest {
        schema: SCHEMA,
        run: name.into_owned(),
        status: RunStatus::Running,
        protocol_fingerprint: plan.protocol.fingerprint(),
        protocol: plan.protocol.clone(),
        subject,
        setting,
        software: software(),
        machine: machine(),
        command,
        directory: std::env::current_dir()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        plan: plan.tasks.clone(),
        episodes: EpisodeCounts { asked: plan.episodes().len() as u32, ok: 0, error: 0 },
        batches: BatchCounts::default(),
        started: now(),
        ended: None,
    }
}

fn software() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("udvla-eval".into(), env!("CARGO_PKG_VERSION").into()),
        ("commit".into(), env!("UDVLA_COMMIT").into()),
        ("profile".into(), if cfg!(debug_assertions) { "debug" } else { "release" }.into()),
    ])
}

fn machine() -> BTreeMap<String, String> {
    let line = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut machine = BTreeMap::from([("cores".into(), cores.to_string())]);
    machine.extend(line("/proc/cpuinfo", "model name").map(|text| ("processor".into(), text)));
    machine.extend(line("/proc/meminfo", "MemTotal").map(|text| ("memory".into(), text)));
    let gpus = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut names: Vec<String> = gpus
        .filter_map(|entry| line(&entry.path().join("information").to_string_lossy(), "Model"))
        .collect();
    names.sort();
    if !names.is_empty() {
        machine.insert("accelerators".into(), names.join(", "));
    }
    machine
}

/// Now, UTC, to the second.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The lines above the bars.
pub fn heading(plan: &Plan, manifest: &Manifest, before: usize) -> String {
    let subject: Vec<String> = manifest
        .subject
        .iter()
        .filter(|(name, _)| *name != "policy")
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let policy = manifest.subject.get("policy").map_or("?", String::as_str);
    let mut text = format!(
        "udvla-eval {} · protocol {} version {} ({})\npolicy   {policy} ({})\n",
        env!("CARGO_PKG_VERSION"),
        manifest.protocol.name,
        manifest.protocol.version,
        &manifest.protocol_fingerprint[..15],
        subject.join(", "),
    );
    let versions: Vec<String> = manifest
        .setting
        .iter()
        .filter(|(name, value)| !name.ends_with("sha256") && value.len() < 40)
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    text += &format!("sims     {} workers ({})\n", plan.workers, versions.join(", "));
    text += &format!("run      {}\n", plan.directory.display());
    if before > 0 {
        text += &format!("         {before} episodes are done already\n");
    }
    text + "\n"
}

/// What `--dry-run` prints.
pub fn describe(plan: &Plan) -> String {
    let mut text = format!(
        "protocol  {} version {} ({})\n",
        plan.protocol.name,
        plan.protocol.version,
        plan.protocol.fingerprint()
    );
    text += &format!("policy    {}\n", plan::name(plan.run.policy));
    text += &format!("workers   {}\n", plan.workers);
    text += &format!("run       {}\n", plan.directory.display());
    text += &format!("episodes  {}\n", plan.episodes().len());
    for task in &plan.tasks {
        let PlannedTask { suite, task, instruction, trials, .. } = task;
        text += &format!("  {suite} {task}  {trials} × {instruction}\n");
    }
    text
}
