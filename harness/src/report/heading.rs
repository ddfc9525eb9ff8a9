//! What a run is, in a few lines: above the bars, and for `--dry-run`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use udvla_results::run::manifest::PlannedTask;
use udvla_results::run::part;
use udvla_results::tables::format::plural;
use udvla_sims::episode::EpisodeKey;

use crate::plan::Plan;

/// Columns of the label, and of the text after it: 80 in all.
const LABEL: usize = 9;
const COLUMNS: usize = 71;

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
        let workers = plural(self.workers as u32, "worker");
        write_wrapped(f, "policy", &[vec![self.policy.clone()], facts(&self.subject)].concat())?;
        write_wrapped(f, "sims", &[vec![workers], facts(&self.setting)].concat())?;
        write_wrapped(f, "run", &[self.directory.display().to_string()])?;
        if self.done > 0 {
            let done = match self.done {
                1 => "1 episode is done already".to_owned(),
                done => format!("{done} episodes are done already"),
            };
            write_wrapped(f, "", &[done])?;
        }
        writeln!(f)
    }
}

/// `31, part 3/16 of 500`.
fn episodes_line(plan: &Plan) -> String {
    let here = plan.episodes().len();
    let all: usize = plan.tasks.iter().map(|task| usize::from(task.trials)).sum();
    match part::names(&plan.parts) {
        names if names.is_empty() => here.to_string(),
        names => format!("{here}, {names} of {all}"),
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
        episodes_line(plan)
    );
    let episodes = plan.episodes();
    for PlannedTask { suite, task, instruction, .. } in &plan.tasks {
        let of_task = |key: &&EpisodeKey| (&key.suite, key.task) == (suite, *task);
        let trials = episodes.iter().filter(of_task).count();
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
        if !line.is_empty() && length + 3 <= COLUMNS {
            *line += &format!(" · {fact}");
            continue;
        }
        if line.is_empty() {
            lines.pop();
        }
        lines.extend(at_words(fact));
    }
    for (index, line) in lines.iter().enumerate() {
        writeln!(f, "{:<LABEL$}{line}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}

/// A fact in lines broken between words; a word that is too long, such as a path, stays whole.
fn at_words(fact: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in fact.split(' ') {
        let line = lines.last_mut().expect("one line from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= COLUMNS {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heading_is_wrapped_between_words_at_80_columns() {
        let long = "Advanced Micro Devices EPYC 9654 with ninety six cores of which two are used";
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let heading = Heading {
            protocol: "libero".into(),
            version: 1,
            fingerprint: format!("sha256:{}", "d65eaef0".repeat(8)),
            policy: "udvla".into(),
            subject: BTreeMap::from([fact("decoding", "jd3p"), fact("seed", "0")]),
            workers: 1,
            setting: BTreeMap::from([fact("processor", long), fact("renderer", "egl")]),
            directory: format!("/{}", "a-long-path/".repeat(9)).into(),
            done: 1,
        };
        let text = heading.to_string();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [long, "1 worker ", "1 episode is done already", "(d65eaef0)"] {
            assert!(words.contains(part), "{part}: {text}");
        }
        for line in text.lines().filter(|line| !line.contains("a-long-path")) {
            assert!(line.chars().count() <= LABEL + COLUMNS, "{line}");
        }
        assert!(text.contains(&format!("run      /{}", "a-long-path/".repeat(9))), "{text}");
    }
}
