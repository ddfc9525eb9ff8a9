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
        remarks: BTreeMap::new(),
        started: now(),
        ended: None,
        stopped_early: None,
    }
}

/// What runs, by name: version, commit, profile.
pub(crate) fn software() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("udvla-eval".into(), env!("CARGO_PKG_VERSION").into()),
        ("commit".into(), env!("UDVLA_COMMIT").into()),
        ("profile".into(), if cfg!(debug_assertions) { "debug" } else { "release" }.into()),
    ])
}

/// What it runs on, as far as the system says.
pub(crate) fn machine() -> BTreeMap<String, String> {
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
    let protocol = &manifest.protocol;
    let fingerprint = short(&manifest.protocol_fingerprint);
    let mut text = format!(
        "udvla-eval {} · protocol {} version {} ({fingerprint})\n",
        env!("CARGO_PKG_VERSION"),
        protocol.name,
        protocol.version,
    );
    let words = |map: &BTreeMap<String, String>| -> Vec<String> {
        map.iter().map(|(name, value)| format!("{name} {}", short(value))).collect()
    };
    let mut subject = manifest.subject.clone();
    let policy = subject.remove("policy").unwrap_or_default();
    text += &wrapped("policy", [vec![policy], words(&subject)].concat());
    let workers = format!("{} workers", plan.workers);
    text += &wrapped("sims", [vec![workers], words(&manifest.setting)].concat());
    text += &wrapped("run", vec![plan.directory.display().to_string()]);
    if before > 0 {
        text += &wrapped("", vec![format!("{before} episodes are done already")]);
    }
    text + "\n"
}

/// The first digits of a hash, anything else as it is.
fn short(value: &str) -> &str {
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let is_hash = digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &digits[..8] } else { value }
}

/// Words with dots between them, in lines of at most 100 columns behind a label.
fn wrapped(label: &str, words: Vec<String>) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("there is one from the start");
        match line.chars().count() + word.chars().count() {
            _ if line.is_empty() => *line = word,
            length if length + 3 <= 90 => *line += &format!(" · {word}"),
            _ => lines.push(word),
        }
    }
    let label = |index| if index == 0 { label } else { "" };
    let lines = lines.iter().enumerate();
    lines.map(|(index, line)| format!("{:<9}{line}\n", label(index))).collect()
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
