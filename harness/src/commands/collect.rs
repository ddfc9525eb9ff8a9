//! `collect`: records demonstrations by a simulator's scripted expert.

#[cfg(feature = "torch")]
use std::path::Path;

use anyhow::{Context, Result};
use udvla_policies::weightless;
use udvla_results::run::manifest::PlannedTask;
use udvla_results::tables::format::plural;

use crate::benchmarks::Choices;
use crate::cli::{self, CollectArguments, CollectCommand};
use crate::demonstrations::collect::{Outcome, collect, open};
use crate::demonstrations::directory::{MANIFEST, recorded};
use crate::demonstrations::plan::{Collection, Noise};
use crate::exit::{Exit, Refused};
use crate::plan::PolicyPlan;
use crate::report::{Progress, Show, color};
use crate::{output, policy};

/// Seconds that an episode takes, about, where LIBERO is drawn by one core: without images, and with
/// those of every control step besides.
const SECONDS: (f64, f64) = (2.0, 18.0);

/// Records what is missing of a collection, or prints what it would be.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn run(command: &CollectCommand, show: Show) -> Result<Exit> {
    let collection = collection(command)?;
    if command.collect.dry_run {
        return dry_run(&collection);
    }
    // Without the thread a stopped terminal delays the collection, but loses nothing.
    let _ = output::never_block();
    let mut progress = Progress::new(show, collection.keys().len());
    let Outcome { exit, manifest } = collect(&collection, &mut progress)?;
    let directory = collection.directory.display();
    if show != Show::Nothing {
        let successes = manifest.files.iter().filter(|file| file.success).count();
        let files = plural(manifest.files.len() as u32, "episode");
        eprintln!("{files} in `{directory}`, {successes} successful ({MANIFEST})");
    }
    if exit != Exit::Complete {
        eprintln!("\n{} the same command records the rest", color::label("hint:"));
    }
    Ok(exit)
}

/// What the flags ask for.
fn collection(command: &CollectCommand) -> Result<Collection> {
    let CollectCommand { benchmark, demonstrations, flags, collect, worker } = command;
    let CollectArguments { episodes, seed, noise_share, every, workers, .. } = collect;
    let protocol = benchmark.protocol();
    let tasks: Vec<PlannedTask> = (demonstrations.tasks)(flags, *episodes);
    if tasks.is_empty() {
        return Err(Refused::new("no task is left to record").into());
    }
    let cameras = policy::cameras(&protocol).context("the protocol's cameras")?;
    if cameras.len() != collect.sizes.len() {
        let names: Vec<String> = cameras.into_iter().map(|camera| camera.name).collect();
        let text = format!("`--sizes` has {}", plural(collect.sizes.len() as u32, "number"));
        let hint = format!("the cameras are {}: a number for each", names.join(", "));
        return Err(Refused::new(text).hint(hint).into());
    }
    let policy = collect.policy.as_deref();
    let policy = policy.map(|word| learner(word, collect, benchmark.name())).transpose()?;
    let mut suites: Vec<String> = tasks.iter().map(|task| task.suite.clone()).collect();
    suites.dedup();
    let choices = Choices {
        policy: "expert".into(),
        suites,
        // Images of stand-ins are only recorded for those who ask for them.
        tested: true,
        without_files: worker.simulator.is_some(),
    };
    let mut simulator = cli::simulator_plan(*benchmark, flags, worker, &choices)?;
    simulator.options.extend((demonstrations.options)(*seed));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u16::try_from(cores).unwrap_or(u16::MAX);
    Ok(Collection {
        protocol,
        tasks,
        episodes: *episodes,
        seed: *seed,
        every: *every,
        sizes: collect.sizes.clone(),
        noise: Noise::new(*noise_share),
        policy,
        simulator,
        workers: workers.unwrap_or(cores),
        directory: collect.out.clone(),
    })
}

/// The policy that is corrected.
#[cfg_attr(not(feature = "torch"), expect(unused_variables))]
fn learner(word: &str, collect: &CollectArguments, benchmark: &str) -> Result<PolicyPlan> {
    if weightless::POLICIES.iter().any(|kind| kind.name == word) {
        return Ok(PolicyPlan::Weightless { name: word.into() });
    }
    #[cfg(not(feature = "torch"))]
    return Err(Refused::new("this build has no libtorch, so it cannot open a checkpoint").into());
    #[cfg(feature = "torch")]
    {
        let CollectArguments { device, model, .. } = collect;
        let plan = cli::model_plan(Path::new(word), device, model, benchmark)?;
        Ok(PolicyPlan::Udvla(Box::new(plan)))
    }
}

/// Prints what would be recorded.
fn dry_run(collection: &Collection) -> Result<Exit> {
    let simulator = open(collection)?;
    let Collection { tasks, every, sizes, noise, directory, workers, .. } = collection;
    println!("protocol  {} ({})", collection.protocol.name, collection.protocol.fingerprint());
    for task in tasks {
        println!("task      {} {}: {}", task.suite, task.task, task.instruction);
    }
    let (keys, mut missing) = (collection.keys(), 0);
    for key in &keys {
        missing += u32::from(recorded(directory, key)?.is_none());
    }
    let all = plural(keys.len() as u32, "episode");
    println!("episodes  {all}, {missing} not yet in `{}`", directory.display());
    let cameras = simulator.spec.cameras.iter().zip(sizes);
    let images: Vec<String> =
        cameras.map(|(camera, size)| format!("{} {size} x {size}", camera.name)).collect();
    println!("images    {}, every {}", images.join(", "), plural(u32::from(*every), "step"));
    println!("noise     bursts in {:.0} % of the episodes", 100.0 * noise.share);
    for (name, value) in &simulator.setting {
        println!("setting   {name}: {value}");
    }
    simulator.close();
    let seconds = SECONDS.0 + SECONDS.1 / f64::from(*every);
    let hours = f64::from(missing) * seconds / f64::from(*workers) / 3600.0;
    let pixels: f64 = sizes.iter().map(|size| 3.0 * f64::from(*size).powi(2)).sum();
    // Experts take about half of the steps that a policy may.
    let steps = collection.protocol.suites.iter().map(|suite| suite.max_steps).max().unwrap_or(0);
    let bytes = f64::from(missing) * f64::from(steps) / 4.0 / f64::from(*every) * pixels;
    println!(
        "estimate  {hours:.1} h with {}, {:.0} MB",
        plural(u32::from(*workers), "worker"),
        bytes / 1e6
    );
    Ok(Exit::Complete)
}
