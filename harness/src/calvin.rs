//! The plan of `udvla-eval calvin`: the list of chains, CALVIN's files, reset mode.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use udvla_results::manifest::PlannedTask;
use udvla_sims::annotations::Annotations;
use udvla_sims::protocol::Protocol;
use udvla_sims::sequences::{NAMES, Sequences};

use crate::cli::{CalvinArguments, CalvinReset, CalvinSimulator};
use crate::environment::CALVIN_LOCK;
use crate::exit::Refused;
use crate::plan::{Plan, Simulator, name, new_directory, worker_command, workers};

const CLONE: &str = "git clone --recurse-submodules https://github.com/mees/calvin, then `--calvin-root calvin` or `CALVIN_ROOT=calvin`";
const SENTENCES: &str = "a file like CALVIN's `new_playtable_validation.yaml` is needed, a line `sub-task: [\"sentence\"]` for each of the 34 of `udvla-eval list calvin`; leave `--annotations` out for CALVIN's own sentences";

/// Decides what `udvla-eval calvin` will run.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn plan(mut arguments: CalvinArguments) -> Result<Plan> {
    let sequences = sequences(&arguments.sequences)?;
    let mut protocol = Protocol::calvin();
    sequences.put_into(&mut protocol);
    if let Some(file) = &arguments.annotations {
        annotations(file)?.put_into(&mut protocol);
    }
    protocol.environment.insert("reset_mode".into(), name(arguments.reset_mode).into());
    let rollouts = match arguments.rollouts {
        Some(asked) if asked > sequences.count() => {
            let text = format!("{asked} rollouts were asked for");
            let hint = format!("the list `{}` has {}", sequences.name, sequences.count());
            return Err(Refused::new(text).hint(hint).into());
        }
        asked => asked.unwrap_or(500).min(sequences.count()),
    };
    if arguments.reset_mode == CalvinReset::Reference {
        one_after_another(&mut arguments.run.workers)?;
    }
    let suite = &protocol.suites[0];
    let tasks = vec![PlannedTask {
        suite: suite.name.clone(),
        task: 0,
        instruction: suite.tasks[0].clone(),
        trials: rollouts,
        stages: suite.stages,
    }];
    Ok(Plan {
        tasks,
        simulator: simulator(&arguments.simulator)?,
        directory: arguments.run.out.clone().unwrap_or_else(|| new_directory("calvin")),
        workers: workers(&arguments.run, usize::from(rollouts)),
        run: arguments.run,
        protocol,
    })
}

/// How CALVIN's workers are started.
///
/// # Errors
/// [`Refused`] when the checkout, the worker, its Python or the adapters are missing.
pub fn simulator(arguments: &CalvinSimulator) -> Result<Simulator> {
    let mut options = BTreeMap::from([
        ("renderer".into(), arguments.renderer.clone()),
        ("adapter".into(), name(arguments.adapter)),
    ]);
    if let Some(root) = &arguments.calvin_root {
        // Workers have a working directory of their own.
        let root = root.canonicalize().map_err(|error| {
            let text = format!("there is no CALVIN checkout at `{}`", root.display());
            Refused::new(text).because(error).hint(CLONE)
        })?;
        options.insert("calvin_root".into(), root.to_string_lossy().into_owned());
    } else if arguments.worker.simulator.is_none() {
        return Err(Refused::new("CALVIN's scene files are not known").hint(CLONE).into());
    }
    worker_command("calvin", CALVIN_LOCK, &arguments.worker, options)
}

fn sequences(asked: &str) -> Result<Sequences> {
    match asked {
        "canonical" => return Ok(Sequences::canonical()),
        "udvla-2026-01" => return Ok(Sequences::udvla_2026_01()),
        _ => {}
    }
    let path = Path::new(asked);
    let text = std::fs::read_to_string(path).map_err(|error| {
        Refused::new(format!("there is no list of sequences `{asked}`"))
            .because(error)
            .hint(format!("pass {}, or a JSON file", NAMES.join(", ")))
    })?;
    let read = Sequences::from_json(&text);
    Ok(read.map_err(|error| {
        Refused::new(format!("the list of sequences `{asked}` cannot be used")).because(error)
    })?)
}

fn annotations(file: &Path) -> Result<Annotations> {
    let refused = |what: &str| Refused::new(format!("the annotations `{}` {what}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|error| refused("cannot be read").because(error).hint(SENTENCES))?;
    let read = Annotations::read(&text);
    Ok(read.map_err(|error| refused("cannot be used").because(error).hint(SENTENCES))?)
}

/// In the reference mode a chain's result depends on the chains before it.
fn one_after_another(workers: &mut Option<u16>) -> Result<()> {
    if workers.is_some_and(|workers| workers > 1) {
        return Err(Refused::new("`--reset-mode reference` plays the chains in one process")
            .hint("leave `--workers` out, or use the default `--reset-mode isolated`")
            .into());
    }
    *workers = Some(1);
    Ok(())
}
