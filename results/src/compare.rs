//! Two runs episode by episode.

use serde::Serialize;
use udvla_sims::episode::EpisodeKey;

use crate::differences;
use crate::read::Run;
use crate::record::EpisodeRecord;
use crate::statistics::{
    Estimate, Pairs, holm, mcnemar, mcnemar_mid_p, paired_difference, paired_length_difference,
};

/// Two runs, A and B, on the episodes that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunComparison {
    /// Name, version and fingerprint of the protocol that both have.
    pub protocol: String,
    /// Fields of subject and setting that differ, with both values.
    pub differences: Vec<String>,
    /// What is left out or doubtful.
    pub warnings: Vec<String>,
    /// Every suite with pairs, and all of them together where there are several.
    pub parts: Vec<Part>,
    /// Episodes that only one of them solved, or that went further in one.
    pub flips: Vec<Flip>,
}

/// A suite, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The suite's name, or `all`.
    pub name: String,
    /// Episodes that ran in both.
    pub n: u32,
    /// Episodes that A solved.
    pub a: u32,
    /// Episodes that B solved.
    pub b: u32,
    /// Episodes that only A solved.
    pub only_a: u32,
    /// Episodes that only B solved.
    pub only_b: u32,
    /// The rate of B less that of A, with Tango's interval.
    pub difference: Ends,
    /// McNemar's exact p value.
    pub mcnemar: f64,
    /// Its mid-p value.
    pub mid_p: f64,
    /// The exact p value after Holm's correction over the suites; the one of `all` is its own.
    pub holm: f64,
    /// The mean number of stages of B less that of A, where episodes have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Ends>,
}

/// A number and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ends {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl From<Estimate> for Ends {
    fn from(Estimate { value, low, high }: Estimate) -> Self {
        Self { value, low, high }
    }
}

impl From<Ends> for Estimate {
    fn from(Ends { value, low, high }: Ends) -> Self {
        Self { value, low, high }
    }
}

/// An episode that went differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Its name, as `udvla-eval replay` takes it.
    pub episode: String,
    /// The instruction.
    pub instruction: String,
    /// Stages that A completed.
    pub a: u16,
    /// Stages that B completed.
    pub b: u16,
    /// Stages of the episode.
    pub stages: u16,
    /// What to look at: the videos or stored actions of A and B, relative to their directories.
    pub files: [Option<String>; 2],
}

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Their protocols differ.
    #[error("the runs have different protocols: {}", .fields.join("; "))]
    Protocol {
        /// Every field that differs, with both values.
        fields: Vec<String>,
    },
    /// No episode ran in both.
    #[error("no episode ran to its end in both runs")]
    NoPairs,
}

/// Compares two runs on the episodes that ran to their end in both.
///
/// # Errors
/// When the protocols differ, or there is no such episode.
pub fn compare(a: &Run, b: &Run) -> Result<RunComparison, CompareError> {
    let fields = differences::protocols(&a.manifest, &b.manifest, "other");
    if !fields.is_empty() {
        return Err(CompareError::Protocol { fields });
    }
    let pairs = paired(a, b);
    if pairs.is_empty() {
        return Err(CompareError::NoPairs);
    }
    let mut differences = differences::subjects(&a.manifest, &b.manifest, "other");
    differences.extend(differences::settings(&a.manifest, &b.manifest, "other"));
    let protocol = &a.manifest.protocol;
    let fingerprint = &a.manifest.protocol_fingerprint;
    Ok(RunComparison {
        protocol: format!("{} v{} ({fingerprint})", protocol.name, protocol.version),
        differences,
        warnings: warnings(a, b, &pairs),
        parts: parts(a, &pairs),
        flips: pairs.iter().filter_map(|pair| flip(a, pair)).collect(),
    })
}

type Pair<'a> = (EpisodeKey, &'a EpisodeRecord, &'a EpisodeRecord);

/// The episodes that ran to their end in both, in order.
fn paired<'a>(a: &'a Run, b: &'a Run) -> Vec<Pair<'a>> {
    let both = a.records.iter().filter_map(|(key, one)| Some((key, one, b.records.get(key)?)));
    both.filter(|(_, one, other)| one.success().and(other.success()).is_some())
        .map(|(key, one, other)| (key.clone(), one, other))
        .collect()
}

fn warnings(a: &Run, b: &Run, pairs: &[Pair<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, run) in [("A", a), ("B", b)] {
        let errors = run.records.values().filter(|record| record.success().is_none()).count();
        let ran = run.records.len() - errors;
        let missing = run.manifest.episodes().len().saturating_sub(run.records.len());
        if errors + missing > 0 || ran > pairs.len() {
            warnings.push(format!(
                "{name}: {} of {ran} episodes that ran have a partner; {errors} errors, \
                 {missing} missing",
                pairs.len()
            ));
        }
        let why = crate::verdict::incomparable(&run.manifest);
        warnings.extend(why.map(|why| format!("{name}: {why}, comparable to nobody's numbers")));
    }
    let other_start = |(_, one, other): &&Pair<'_>| {
        one.first_observation_sha256 != other.first_observation_sha256
    };
    let others = pairs.iter().filter(other_start).count();
    if others > 0 {
        warnings.push(format!(
            "{others} of {} pairs began with different pictures: renderer, assets or simulator differ",
            pairs.len()
        ));
    }
    warnings
}

fn parts(run: &Run, pairs: &[Pair<'_>]) -> Vec<Part> {
    let mut names: Vec<&str> = run.manifest.plan.iter().map(|task| &*task.suite).collect();
    names.dedup();
    let of_suite = |name: &str| -> Vec<&Pair<'_>> {
        pairs.iter().filter(|(key, _, _)| key.suite == name).collect()
    };
    let mut parts: Vec<Part> =
        names.iter().filter_map(|name| part(name, &of_suite(name))).collect();
    let p_values: Vec<f64> = parts.iter().map(|part| part.mcnemar).collect();
    for (part, corrected) in parts.iter_mut().zip(holm(&p_values)) {
        part.holm = corrected;
    }
    if parts.len() > 1 {
        parts.extend(part("all", &pairs.iter().collect::<Vec<_>>()));
    }
    parts
}

/// The numbers of some pairs; `None` without any.
fn part(name: &str, pairs: &[&Pair<'_>]) -> Option<Part> {
    let solved = |record: &EpisodeRecord| record.success() == Some(true);
    let table = Pairs::of(pairs.iter().map(|(_, a, b)| (solved(a), solved(b))));
    // Pairs are told from A's side; what is shown is B less A.
    let turned = Pairs { only_a: table.only_b, only_b: table.only_a, ..table };
    let stages = pairs.iter().map(|(_, a, _)| a.stages).max()?;
    let steps: Vec<i32> = pairs
        .iter()
        .map(|(_, a, b)| i32::from(b.stages_completed) - i32::from(a.stages_completed))
        .collect();
    let length = (stages > 1).then(|| paired_length_difference(&steps, stages)).flatten();
    Some(Part {
        name: name.into(),
        n: table.n(),
        a: table.both + table.only_a,
        b: table.both + table.only_b,
        only_a: table.only_a,
        only_b: table.only_b,
        difference: paired_difference(turned)?.into(),
        mcnemar: mcnemar(table),
        mid_p: mcnemar_mid_p(table),
        holm: mcnemar(table),
        length: length.map(Ends::from),
    })
}

fn flip(run: &Run, (key, a, b): &Pair<'_>) -> Option<Flip> {
    if a.stages_completed == b.stages_completed {
        return None;
    }
    let planned = run.manifest.plan.iter().find(|p| p.suite == key.suite && p.task == key.task);
    let file = |record: &EpisodeRecord| record.video.clone().or_else(|| record.actions.clone());
    Some(Flip {
        episode: key.to_string(),
        instruction: planned.map_or(String::new(), |planned| planned.instruction.clone()),
        a: a.stages_completed,
        b: b.stages_completed,
        stages: a.stages,
        files: [file(a), file(b)],
    })
}
