//! CALVIN ABCD→D: sequences of five sub-tasks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{ArgMatches, Args, ValueEnum};
use udvla_sims::annotations::Annotations;
use udvla_sims::protocol::Protocol;
use udvla_sims::sequences::{NAMES, Sequences};

use super::benchmark::{self, Benchmark, Choices, Facts, Selection, Simulator, value_name};
use crate::assets::Catalog;
use crate::environment::PythonEnvironment;
use crate::exit::Refused;

const ANNOTATIONS: &str = "the file needs a line `sub-task: [\"sentence\"]` for each of the 34 sub-tasks of `udvla-eval list calvin`, like CALVIN's `new_playtable_validation.yaml`; leave `--annotations` out for CALVIN's own sentences";

/// The variable by which pybullet's EGL plug-in takes another card than the first.
const EGL_CARD: &str = "EGL_VISIBLE_DEVICES";

/// pybullet has no wheels for later Pythons.
static ENVIRONMENT: PythonEnvironment = PythonEnvironment {
    name: "calvin",
    lock: include_str!("../../../sims/python/calvin.lock"),
    versions: &["3.11", "3.10"],
    imports: &["numpy", "pybullet", "av"],
    megabytes: 170,
};

/// The benchmark.
pub struct Calvin;

static FACTS: Facts = Facts {
    name: "calvin",
    about: "Run CALVIN's sequences of five sub-tasks and report the average length",
    is_listed: true,
    protocol: Protocol::calvin,
    environment: &ENVIRONMENT,
    episode_flags: EpisodeFlags::augment_args,
    simulator_flags: SimulatorFlags::augment_args,
    data_option: Some("calvin_root"),
    action: &[
        ("x", "0.02 m"),
        ("y", "0.02 m"),
        ("z", "0.02 m"),
        ("rx", "0.05 rad"),
        ("ry", "0.05 rad"),
        ("rz", "0.05 rad"),
        ("gripper", "-1 closes, 1 opens"),
    ],
    assets: Some(|| {
        let text = include_str!("../../../sims/python/udvla_sims/calvin/upstream.json");
        Catalog::bundled(text)
    }),
    demonstrations: None,
    worker_megabytes: 250,
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Episodes")]
struct EpisodeFlags {
    /// Sequences to run, from the first of the list on [default: 500]
    ///
    /// Of a shorter list, all by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rollouts: Option<u16>,
    /// List of sequences: canonical, udvla-2026-01, or a JSON file; part of the protocol
    #[arg(long, default_value = "canonical", value_name = "LIST")]
    sequences: String,
    /// Other instructions for the sub-tasks, from a file like CALVIN's
    /// new_playtable_validation.yaml (first sentence each); part of the protocol
    /// [default: CALVIN's own]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    annotations: Option<PathBuf>,
    /// State of the physics engine before a sequence; part of the protocol
    #[arg(long, value_enum, default_value_t = ResetMode::Isolated, hide_short_help = true)]
    reset_mode: ResetMode,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Simulator")]
struct SimulatorFlags {
    /// CALVIN checkout, or a folder with `calvin_env_data` and the two task files
    #[arg(long, env = "CALVIN_ROOT", hide_env_values = true, value_name = "DIR")]
    calvin_root: Option<PathBuf>,
    /// Renderer
    #[arg(long, default_value = "auto", value_parser = ["auto", "egl", "egl-software", "tiny"])]
    renderer: String,
    /// Implementation of the scene
    #[arg(long, value_enum, default_value_t = Adapter::Slim, hide_short_help = true)]
    adapter: Adapter,
}

/// Implementation of the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Adapter {
    /// Ours, bit for bit as upstream; needs pybullet and numpy alone
    Slim,
    /// The checkout's `calvin_env`, to compare with; needs a `--python` that can import it
    Upstream,
}

/// State of the physics engine before a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResetMode {
    /// Cleared: results depend on neither order nor workers
    Isolated,
    /// Kept, as in CALVIN's own loop: results depend on the order, in one process
    Reference,
}

impl Benchmark for Calvin {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn select(&self, flags: &ArgMatches, _: &Choices) -> Result<Selection> {
        let flags: EpisodeFlags = benchmark::parsed(flags);
        let sequences = sequences(&flags.sequences)?;
        let mut protocol = self.protocol();
        sequences.put_into(&mut protocol);
        if let Some(file) = &flags.annotations {
            annotations(file)?.put_into(&mut protocol);
        }
        protocol.environment.set("reset_mode", value_name(flags.reset_mode));
        let rollouts = rollouts(flags.rollouts, &sequences)?;
        Ok(Selection {
            tasks: benchmark::planned(&protocol.suites[0], &[], rollouts),
            protocol,
            label: "calvin".into(),
        })
    }

    fn is_one_process(&self, protocol: &Protocol) -> bool {
        protocol.environment.reset_mode() == Some(&value_name(ResetMode::Reference))
    }

    fn simulator(&self, flags: &ArgMatches, choices: &Choices) -> Result<Simulator> {
        let SimulatorFlags { calvin_root, renderer, adapter } = benchmark::parsed(flags);
        // pybullet's own name for the card to render with; unused by TinyRenderer.
        let card = benchmark::shell(EGL_CARD).filter(|_| renderer != "tiny");
        let variables = card.into_iter().map(|card| (EGL_CARD.into(), card)).collect();
        let mut options = BTreeMap::from([
            ("renderer".into(), renderer),
            ("adapter".into(), value_name(adapter)),
        ]);
        if !choices.without_files {
            let root = benchmark::files(&FACTS, calvin_root.as_deref(), choices)?;
            let root =
                root.ok_or_else(|| benchmark::no_files(&FACTS, "--calvin-root", "CALVIN_ROOT"))?;
            options.insert("calvin_root".into(), checkout(calvin_root.as_deref(), &root)?);
        }
        Ok(Simulator { options, variables })
    }

    fn after_setup(&self) -> Option<String> {
        let fetch = benchmark::fetch_command("calvin");
        Some(format!("the scene's files come from CALVIN itself: {fetch}"))
    }

    fn list(&self) {
        for suite in self.protocol().suites {
            let (name, stages, steps) = (suite.name, suite.stages, suite.max_steps);
            println!("{name} (sequences of {stages} sub-tasks, at most {steps} steps each)");
            for (name, instruction) in suite.details.instructions() {
                println!("  {name:<24}{instruction}");
            }
        }
        for list in [Sequences::canonical(), Sequences::udvla_2026_01()] {
            let (count, sha256) = (list.count(), list.sha256());
            println!("sequences {} ({count} sequences, sha256:{sha256})", list.name);
        }
    }
}

/// What the adapter takes: the checkout that was named, which also has CALVIN's rules to compare
/// with, or the folder that `setup` made.
fn checkout(given: Option<&Path>, root: &Path) -> Result<String> {
    let folder = match given {
        Some(given) => given.canonicalize()?,
        None => root.parent().unwrap_or(root).to_owned(),
    };
    Ok(folder.to_string_lossy().into_owned())
}

fn sequences(name: &str) -> Result<Sequences> {
    match name {
        "canonical" => return Ok(Sequences::canonical()),
        "udvla-2026-01" => return Ok(Sequences::udvla_2026_01()),
        _ => {}
    }
    let text = std::fs::read_to_string(Path::new(name)).map_err(|error| {
        Refused::new(format!("there is no list of sequences `{name}`"))
            .because(error)
            .hint(format!("pass {}, or a JSON file", NAMES.join(", ")))
    })?;
    Ok(Sequences::from_json(&text).map_err(|error| {
        Refused::new(format!("the list of sequences `{name}` cannot be used")).because(error)
    })?)
}

fn rollouts(wanted: Option<u16>, sequences: &Sequences) -> Result<u16> {
    match wanted {
        Some(wanted) if wanted > sequences.count() => {
            let hint = format!("the list `{}` has {}", sequences.name, sequences.count());
            Err(Refused::new(format!("cannot run {wanted} rollouts")).hint(hint).into())
        }
        wanted => Ok(wanted.unwrap_or(500).min(sequences.count())),
    }
}

fn annotations(file: &Path) -> Result<Annotations> {
    let refused = |what: &str| Refused::new(format!("the annotations `{}` {what}", file.display()));
    let text = std::fs::read_to_string(file)
        .map_err(|error| refused("cannot be read").because(error).hint(ANNOTATIONS))?;
    Ok(Annotations::read(&text)
        .map_err(|error| refused("cannot be used").because(error).hint(ANNOTATIONS))?)
}
