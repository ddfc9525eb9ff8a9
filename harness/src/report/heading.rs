//! What a run is, in a few lines: above the bars, and for `--dry-run`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use udvla_results::run::manifest::PlannedTask;

use crate::plan::Plan;

/// Columns of the text after the label.
const COLUMNS: usize = 90;

/// The lines above the bars.
#[derive(Debug)]
pub struct Heading {
    /// Name of the protocol.
    pub protocol: String,
    /// Its version.
    pub version: u16,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Name of the policy.
    pub policy: String,
    /// The rest of the subject, by name.
    pub subject: BTreeMap<String, String>,
    /// Simulators that run at once.
    pub workers: usize,
    /// The setting, by name.
    pub setting: BTreeMap<String, String>,
    /// The run directory.
    pub directory: PathBuf,
    /// Episodes that have a record already.
    pub done: usize,
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        let fingerprint = short(&self.fingerprint);
        let Self { protocol, version: number, .. } = self;
        writeln!(f, "udvla-eval {version} · protocol {protocol} version {number} ({fingerprint})")?;
        let facts = |map: &BTreeMap<String, String>| -> Vec<String> {
            map.iter().map(|(name, value)| format!("{name} {}", short(value))).collect()
        };
        let workers = format!("{} workers", self.workers);
        write_wrapped(f, "policy", &[vec![self.policy.clone()], facts(&self.subject)].concat())?;
        write_wrapped(f, "sims", &[vec![workers], facts(&self.setting)].concat())?;
        write_wrapped(f, "run", &[self.directory.display().to_string()])?;
        if self.done > 0 {
            write_wrapped(f, "", &[format!("{} episodes are done already", self.done)])?;
        }
        writeln!(f)
    }
}

/// The text of `--dry-run`.
pub fn describe(plan: &Plan) -> String {
    let protocol = &plan.protocol;
    let mut text = format!(
        "protocol  {} version {} ({})\npolicy    {}\nworkers   {}\nrun       {}\nepisodes  {}\n",
        protocol.name,
        protocol.version,
        protocol.fingerprint(),
        plan.policy.name(),
        plan.execution.workers,
        plan.directory.display(),
        plan.episodes().len()
    );
    for PlannedTask { suite, task, instruction, trials, .. } in &plan.tasks {
        text += &format!("  {suite} {task}  {trials} × {instruction}\n");
    }
    text
}

/// The first digits of a hash, anything else as it is.
fn short(value: &str) -> &str {
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let is_hash = digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &digits[..8] } else { value }
}

/// Facts with dots between them, in lines after a label.
fn write_wrapped(f: &mut fmt::Formatter<'_>, label: &str, facts: &[String]) -> fmt::Result {
    let mut lines = vec![String::new()];
    for fact in facts {
        let line = lines.last_mut().expect("one line from the start");
        let length = line.chars().count() + fact.chars().count();
        if line.is_empty() {
            line.clone_from(fact);
        } else if length + 3 <= COLUMNS {
            *line += &format!(" · {fact}");
        } else {
            lines.push(fact.clone());
        }
    }
    for (index, line) in lines.iter().enumerate() {
        writeln!(f, "{:<9}{line}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}
