//! `replay`: plays stored actions again, without the policy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use safetensors::{Dtype, SafeTensors};
use udvla_results::out::printable::printable_line;
use udvla_results::run::actions;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::Run;
use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_sims::process::{SimError, Worker};
use udvla_sims::wire::{Reply, Request, VideoRequest};

use crate::cli::{self, ReplayArguments};
use crate::exit::{Exit, Refused};
use crate::plan::{Overrides, Plan};
use crate::simulator::{Purpose, Simulator};

const STEP: Duration = Duration::from_secs(600);

/// Replays episodes and prints whether each ends as recorded: stages, steps, truncation and the
/// hash of the final state.
///
/// # Errors
/// [`Refused`] when the run or an episode cannot be replayed at all.
pub fn run(arguments: &ReplayArguments) -> Result<Exit> {
    let run = super::reading::noted(&arguments.run, arguments.reading.damage())?;
    let directory = arguments.run.canonicalize()?;
    let video = match &arguments.video {
        None => None,
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            Some(folder.canonicalize()?)
        }
    };
    let episodes = chosen(&run, &arguments.episodes)?;
    let overrides =
        Overrides { trust: super::reading::trust(arguments.trust), ..Overrides::default() };
    let plan = cli::plan_of_run(&run.manifest, directory.clone(), &overrides)?;
    let (mut simulator, others) = open(&plan, &run.manifest, video.is_some())?;
    let mut equal = 0;
    for record in &episodes {
        let differences = replay(&mut simulator.worker, &directory, record, video.as_deref())
            .with_context(|| format!("{} cannot be replayed", record.key()))?;
        let key = printable_line(&record.key().to_string());
        if differences.is_empty() {
            equal += 1;
            let outcome = if record.success() == Some(true) { "solved" } else { "not solved" };
            println!("✓ {key}: {outcome}, final state as recorded");
        } else {
            println!("✗ {}: {}", key, printable_line(&differences.join("; ")));
        }
    }
    simulator.close();
    println!("\n{equal} of {} episodes end as recorded", episodes.len());
    if equal < episodes.len() && !others.is_empty() {
        let names = others.join(", ");
        println!(
            "this machine is not the run's: {names} differ, which can move the last bits of a state"
        );
    }
    Ok(if equal == episodes.len() { Exit::Complete } else { Exit::GateFailed })
}

/// The records to replay: those that are named, or all that ran and stored their actions.
fn chosen<'a>(run: &'a Run, names: &[String]) -> Result<Vec<&'a EpisodeRecord>> {
    let can = |record: &&EpisodeRecord| record.status == Status::Ok && record.actions.is_some();
    let all: Vec<&EpisodeRecord> = run.records.values().filter(can).collect();
    if names.is_empty() {
        return match all.is_empty() {
            true => Err(Refused::new("the run has no episode with stored actions").into()),
            false => Ok(all),
        };
    }
    let find = |name: &String| {
        all.iter().find(|record| record.key().to_string() == *name).copied().ok_or_else(|| {
            let hint = "episodes are named like their files in `actions`: long-task03-trial017";
            Refused::new(format!("there is no episode `{name}` with stored actions")).hint(hint)
        })
    };
    names.iter().map(|name| Ok(find(name)?)).collect()
}

/// The run's simulator, with a note for every setting that differs from the run's, and their names.
fn open(plan: &Plan, manifest: &Manifest, video: bool) -> Result<(Simulator, Vec<String>)> {
    let purpose = Purpose { suites: plan.suites(), images: false, video };
    let simulator = Simulator::open(&plan.simulator, &manifest.protocol, purpose)?;
    let mut setting = simulator.setting.clone();
    let adapters = plan.simulator.adapters_digest()?;
    setting.extend(adapters.map(|digest| ("adapters".into(), digest)));
    let before = BTreeMap::from(manifest.setting.clone());
    let mut others = vec![];
    for (name, value) in setting {
        match before.get(&name) {
            // A replay without a video renders nothing.
            Some(before) if *before != value && (name != "renderer" || value != "none") => {
                let text = format!("{name} is `{value}` here and was `{before}` in the run");
                eprintln!("note: {}", printable_line(&text));
                others.push(name);
            }
            _ => {}
        }
    }
    Ok((simulator, others))
}

/// What differs from the record.
fn replay(
    worker: &mut Worker,
    directory: &Path,
    record: &EpisodeRecord,
    video: Option<&Path>,
) -> Result<Vec<String>> {
    let name = record.actions.as_ref().context("an episode without actions was chosen")?;
    let bytes = match actions::read(directory, record) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(vec![format!("its actions cannot be read: {error}")]),
    };
    let (rows, width, actions) = read_actions(&bytes).with_context(|| format!("in `{name}`"))?;
    let video = video.map(|folder| VideoRequest {
        path: folder.join(format!("{}.mp4", record.key())).to_string_lossy().into_owned(),
        every: 2,
        failures_only: false,
    });
    let reset = Request::Reset { key: record.key(), video };
    let (mut reply, _) = worker.ask(&reset, &[], STEP)?;
    let mut before = None;
    loop {
        match reply {
            Reply::Finished { .. } => return Ok(differences(&reply, record)),
            Reply::Observed { steps, .. } => {
                let played = steps as usize;
                // A stage ends a chunk; an end of the actions without an end of the episode
                // brings no further step.
                if played >= rows || before == Some(played) {
                    return Ok(vec![format!("not over after all {rows} stored steps")]);
                }
                before = Some(played);
                let rest = &actions[played * usize::from(width) * 4..];
                (reply, _) = worker.ask(&Request::Play { width }, rest, STEP)?;
            }
            other => return Err(SimError::Wire(format!("unexpected {other:?}")).into()),
        }
    }
}

/// How the end of an episode differs from its record; empty for any other reply.
fn differences(reply: &Reply, record: &EpisodeRecord) -> Vec<String> {
    let Reply::Finished { stages_completed, steps, truncated, final_state_sha256, notes, .. } =
        reply
    else {
        return vec![];
    };
    let pairs = [
        ("stages", stages_completed.to_string(), record.stages_completed.to_string()),
        ("steps", steps.to_string(), record.steps.to_string()),
        ("truncated", truncated.to_string(), record.truncated.to_string()),
    ];
    let mut differences: Vec<String> = pairs
        .into_iter()
        .filter(|(_, now, then)| now != then)
        .map(|(what, now, then)| format!("{what} {now}, recorded {then}"))
        .collect();
    if *notes != record.notes {
        differences.push("other notes".into());
    }
    if record.final_state_sha256.as_ref() != Some(final_state_sha256) {
        differences.push("another final state".into());
    }
    differences
}

/// Rows, width and bytes of stored actions.
fn read_actions(bytes: &[u8]) -> Result<(usize, u16, Vec<u8>)> {
    let file = SafeTensors::deserialize(bytes)?;
    let view = file.tensor("actions")?;
    anyhow::ensure!(view.dtype() == Dtype::F32, "actions are not float32");
    let &[rows, width] = view.shape() else { anyhow::bail!("actions have two axes") };
    Ok((rows, u16::try_from(width)?, view.data().to_vec()))
}
