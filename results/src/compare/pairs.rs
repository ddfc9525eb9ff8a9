//! Two runs compared episode by episode.

use serde::Serialize;
use udvla_sims::episode::EpisodeKey;

use crate::run::differences;
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::statistics::{
    Estimate, PairedCounts, holm, mcnemar, mcnemar_mid_p, paired_difference,
    paired_length_difference,
};
use crate::tables::counts::Counts;
use crate::tables::verdict::incomparable;

/// Two runs, A and B, compared on the episodes that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunComparison {
    /// Name, version and fingerprint of their protocol.
    pub protocol: String,
    /// Differing fields of subject and setting, with both values.
    pub differences: Vec<String>,
    /// What is left out or doubtful.
    pub warnings: Vec<String>,
    /// Every suite with pairs, and all of them together where there are several.
    pub parts: Vec<Part>,
    /// Episodes in which A and B completed different numbers of stages.
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
    /// Rate of B minus rate of A, with Tango's interval.
    pub difference: Estimate,
    /// McNemar's exact p value.
    pub mcnemar: f64,
    /// McNemar's mid-p value.
    pub mid_p: f64,
    /// The exact p value after Holm's correction over the suites; uncorrected for `all`.
    pub holm: f64,
    /// Mean number of stages of B minus that of A, where episodes have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Estimate>,
}

/// An episode with different outcomes.
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
    /// Videos or stored actions of A and B, relative to their run directories.
    pub files: [Option<String>; 2],
}

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum CompareError {
    #[error("the runs have different protocols: {}", .fields.join("; "))]
    Protocol { fields: Vec<String> },
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
    let subjects = differences::subjects(&a.manifest, &b.manifest, "other");
    let settings = differences::settings(&a.manifest, &b.manifest, "other");
    Ok(RunComparison {
        protocol: a.manifest.protocol_line(),
        differences: [subjects, settings].concat(),
        warnings: warnings(a, b, &pairs),
        parts: parts(a, &pairs),
        flips: pairs.iter().filter_map(|pair| flip(a, pair)).collect(),
    })
}

/// An episode and its records in A and B.
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
        let Counts { ok, errors, missing, .. } = Counts::of_run(run);
        if errors + missing > 0 || ok as usize > pairs.len() {
            warnings.push(format!(
                "{name}: {} of {ok} episodes that ran are paired; {errors} errors, {missing} \
                 missing",
                pairs.len()
            ));
        }
        warnings.extend(run.notes.iter().map(|note| format!("{name}: {note}")));
        let reason = incomparable(&run.manifest);
        warnings.extend(reason.map(|reason| format!("{name}: {reason}, not comparable")));
    }
    let different = |(_, one, other): &&Pair<'_>| {
        one.first_observation_sha256 != other.first_observation_sha256
    };
    let different = pairs.iter().filter(different).count();
    if different > 0 {
        warnings.push(format!(
            "{different} of {} pairs started from different images: renderer, assets or simulator \
             differ",
            pairs.len()
        ));
    }
    warnings
}

fn parts(run: &Run, pairs: &[Pair<'_>]) -> Vec<Part> {
    let of_suite = |name: &str| -> Vec<&Pair<'_>> {
        pairs.iter().filter(|(key, _, _)| key.suite == name).collect()
    };
    let suites = run.manifest.suites();
    let mut parts: Vec<Part> =
        suites.iter().filter_map(|name| part(name, &of_suite(name))).collect();
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
    let counts = PairedCounts::of(pairs.iter().map(|(_, a, b)| (solved(a), solved(b))));
    let stages = pairs.iter().map(|(_, a, _)| a.stages).max()?;
    let differences: Vec<i32> = pairs
        .iter()
        .map(|(_, a, b)| i32::from(b.stages_completed) - i32::from(a.stages_completed))
        .collect();
    Some(Part {
        name: name.into(),
        n: counts.n(),
        a: counts.both + counts.only_a,
        b: counts.both + counts.only_b,
        only_a: counts.only_a,
        only_b: counts.only_b,
        difference: paired_difference(counts.swapped())?,
        mcnemar: mcnemar(counts),
        mid_p: mcnemar_mid_p(counts),
        holm: mcnemar(counts),
        length: (stages > 1).then(|| paired_length_difference(&differences, stages)).flatten(),
    })
}

fn flip(run: &Run, (key, a, b): &Pair<'_>) -> Option<Flip> {
    if a.stages_completed == b.stages_completed {
        return None;
    }
    let planned = run.manifest.planned(&key.suite, key.task);
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
