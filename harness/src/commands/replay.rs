//! `replay`: stored actions through the simulator once more, without the policy.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use safetensors::{Dtype, SafeTensors};
use udvla_results::manifest::Manifest;
use udvla_results::read::Run;
use udvla_results::record::{EpisodeRecord, Status};
use udvla_sims::process::{SimError, Worker, WorkerCommand, unexpected};
use udvla_sims::wire::{OpenConfig, Reply, Request, VideoRequest};

use crate::cli::ReplayArguments;
use crate::exit::{Exit, Refused};
use crate::plan::Plan;

const START: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(600);

/// Replays episodes and says of each whether it ends as recorded: stages, steps, truncation and
/// the hash of the final state.
///
/// # Errors
/// [`Refused`] when the run or an episode cannot be replayed at all.
pub fn run(arguments: &ReplayArguments) -> Result<Exit> {
    let run = super::read(&arguments.run)?;
    let directory = arguments.run.canonicalize()?;
    let video = match &arguments.video {
        None => None,
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            Some(folder.canonicalize()?)
        }
    };
    let episodes = chosen(&run, &arguments.episodes)?;
    let plan = super::plan_of(&run.manifest, |_| {})?;
    let scratch = std::env::temp_dir().join(format!("udvla-replay-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut worker = open(&plan, &run.manifest, &scratch, video.is_some())?;
    let mut equal = 0;
    for record in &episodes {
        let differences = replay(&mut worker, &directory, record, video.as_deref())
            .with_context(|| format!("{} cannot be replayed", record.key()))?;
        if differences.is_empty() {
            equal += 1;
            let outcome = if record.success() == Some(true) { "solved" } else { "not solved" };
            println!("✓ {}: {outcome}, final state as recorded", record.key());
        } else {
            println!("✗ {}: {}", record.key(), differences.join("; "));
        }
    }
    worker.close(Duration::from_secs(5));
    let _ = std::fs::remove_dir_all(&scratch);
    println!("\n{equal} of {} episodes end as recorded", episodes.len());
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

fn open(plan: &Plan, manifest: &Manifest, scratch: &Path, video: bool) -> Result<Worker> {
    let log = scratch.join("worker.log");
    let command = WorkerCommand { log: log.clone(), ..plan.simulator.command.clone() };
    let mut suites: Vec<String> = manifest.plan.iter().map(|task| task.suite.clone()).collect();
    suites.dedup();
    let config = OpenConfig {
        protocol: manifest.protocol.clone(),
        suites,
        images: false,
        last_look: false,
        video,
        scratch: scratch.to_string_lossy().into_owned(),
        options: plan.simulator.options.clone(),
    };
    let (worker, ready) = Worker::open(&command, config, START, |_| {}).map_err(|error| {
        Refused::new(format!("the simulator does not start: {error}"))
            .hint(format!("its log is `{}`", log.display()))
    })?;
    let Reply::Ready { mut setting, .. } = ready else { return Err(unexpected(&ready).into()) };
    setting.extend(plan.simulator.adapters.clone().map(|digest| ("adapters".into(), digest)));
    for (name, value) in setting {
        match manifest.setting.get(&name) {
            // A replay without a video draws nothing.
            Some(before) if *before != value && (name != "renderer" || value != "none") => {
                eprintln!("note: {name} is `{value}` here and was `{before}` in the run");
            }
            _ => {}
        }
    }
    Ok(worker)
}

/// What ended otherwise than recorded.
fn replay(
    worker: &mut Worker,
    directory: &Path,
    record: &EpisodeRecord,
    video: Option<&Path>,
) -> Result<Vec<String>> {
    let name = record.actions.as_ref().context("an episode without actions was chosen")?;
    let bytes = std::fs::read(directory.join(name)).with_context(|| format!("no `{name}`"))?;
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
            Reply::Finished {
                stages_completed,
                steps,
                truncated,
                final_state_sha256,
                notes,
                ..
            } => {
                let state = Some(final_state_sha256);
                let pairs = [
                    ("stages", stages_completed.to_string(), record.stages_completed.to_string()),
                    ("steps", steps.to_string(), record.steps.to_string()),
                    ("truncated", truncated.to_string(), record.truncated.to_string()),
                ];
                let mut found: Vec<String> = pairs
                    .into_iter()
                    .filter(|(_, now, then)| now != then)
                    .map(|(what, now, then)| format!("{what} {now}, recorded {then}"))
                    .collect();
                if notes != record.notes {
                    found.push("other notes".into());
                }
                if state != record.final_state_sha256 {
                    found.push("another final state".into());
                }
                return Ok(found);
            }
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

/// Rows, width and bytes of stored actions.
fn read_actions(bytes: &[u8]) -> Result<(usize, u16, Vec<u8>)> {
    let file = SafeTensors::deserialize(bytes)?;
    let view = file.tensor("actions")?;
    anyhow::ensure!(view.dtype() == Dtype::F32, "actions are no float32");
    let &[rows, width] = view.shape() else { anyhow::bail!("actions have two axes") };
    Ok((rows, u16::try_from(width)?, view.data().to_vec()))
}
