//! LIBERO: four suites of ten tasks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{ArgMatches, Args, ValueEnum};
use udvla_results::run::manifest::PlannedTask;
use udvla_sims::protocol::{Protocol, Suite};

use super::benchmark::{
    self, Benchmark, Choices, Demonstrations, Facts, OwnCheckpoint, Selection, Simulator,
    value_name,
};
use super::range::{Numbers, numbers};
use crate::assets::Catalog;
use crate::environment::{self, PythonEnvironment};
use crate::exit::Refused;

/// The value of `--assets` for the built-in shapes.
const STAND_INS: &str = "stand-ins";

/// LIBERO's Python environment.
pub static ENVIRONMENT: PythonEnvironment = PythonEnvironment {
    name: "libero",
    lock: include_str!("../../../sims/python/libero.lock"),
    versions: &["3.11", "3.10", "3.12"],
    imports: &["numpy", "scipy", "numba", "mujoco", "bddl", "yaml", "cv2", "av"],
    megabytes: 450,
};

/// The benchmark.
pub struct Libero;

static FACTS: Facts = Facts {
    name: "libero",
    about: "Run LIBERO suites and report success rates",
    is_listed: true,
    protocol: Protocol::libero,
    environment: &ENVIRONMENT,
    episode_flags: EpisodeFlags::augment_args,
    simulator_flags: SimulatorFlags::augment_args,
    data_option: Some("assets"),
    action: &[
        ("x", "0.05 m"),
        ("y", "0.05 m"),
        ("z", "0.05 m"),
        ("rx", "0.5 rad"),
        ("ry", "0.5 rad"),
        ("rz", "0.5 rad"),
        ("gripper", "-1 opens, 1 closes"),
    ],
    assets: Some(|| {
        let text = include_str!("../../../sims/python/udvla_sims/libero/upstream.json");
        Catalog::bundled(text)
    }),
    demonstrations: Some(Demonstrations {
        flags: TaskFlags::augment_args,
        tasks: |flags, episodes| {
            benchmark::parsed::<TaskFlags>(flags).planned(&Protocol::libero(), |_| episodes)
        },
        options: |seed| {
            let options = [
                ("initial_states", "sampled".into()),
                ("sample_seed", seed.to_string()),
                ("clearance", CLEARANCE.into()),
            ];
            options.map(|(name, value)| (name.into(), value)).into()
        },
    }),
    worker_megabytes: 1000,
};

/// Meters that the expert of demonstrations stays above obstacles. Its usual 0.02 m are less than the
/// error of a small policy, which then pushes the basket away.
const CLEARANCE: &str = "0.06";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Episodes")]
struct TaskFlags {
    /// Suites to run, for example long or spatial,goal
    ///
    /// LIBERO's own names such as libero_10 work too.
    #[arg(long, value_enum, default_value = "all", value_name = "SUITES", value_delimiter = ',')]
    suite: Vec<SuiteChoice>,
    /// Tasks (0 to 9) of each suite, for example 3 or 0-4,7 [default: all]
    #[arg(long, value_name = "TASKS", value_delimiter = ',', value_parser = |text: &str| numbers(text, 9))]
    task: Vec<Numbers>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Episodes")]
struct EpisodeFlags {
    #[command(flatten)]
    tasks: TaskFlags,
    /// Episodes per task, from the first stored initial state on [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50))]
    trials: Option<u16>,
    /// How fixture poses are drawn; part of the protocol
    #[arg(long, value_enum, default_value_t = ResetMode::Pinned, hide_short_help = true)]
    reset_mode: ResetMode,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Simulator")]
struct SimulatorFlags {
    /// LIBERO's files, a checkout of it, or `stand-ins`
    ///
    /// `stand-ins` are built-in shapes. Default: what `udvla-eval setup libero --assets` fetched, or
    /// another download; stand-ins only for policies without trained weights.
    #[arg(long, env = "UDVLA_LIBERO_ASSETS", hide_env_values = true, value_name = "DIR")]
    assets: Option<String>,
    /// OpenGL back end
    #[arg(long, default_value = "auto", value_parser = ["auto", "egl", "osmesa"])]
    renderer: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SuiteChoice {
    /// Same objects, different layouts
    #[value(alias = "libero_spatial")]
    Spatial,
    /// Different objects
    #[value(alias = "libero_object")]
    Object,
    /// Different goals
    #[value(alias = "libero_goal")]
    Goal,
    /// Long tasks (LIBERO-10)
    #[value(aliases = ["libero_10", "libero_long", "10"])]
    Long,
    /// All four
    All,
}

/// How the poses of fixtures, which the stored initial states lack, are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResetMode {
    /// The same for every episode: results depend on neither order nor sharding
    Pinned,
    /// As the official loop draws them for the k-th reset of one process
    Reference,
    /// As `reference`, with the official loop's hard resets, bit for bit
    Exact,
}

impl TaskFlags {
    fn names(&self) -> Vec<String> {
        self.suite.iter().copied().map(value_name).collect()
    }

    fn has_all(&self) -> bool {
        self.suite.contains(&SuiteChoice::All)
    }

    /// The tasks, with as many episodes as `trials` says for their suite.
    fn planned(&self, protocol: &Protocol, trials: impl Fn(&Suite) -> u16) -> Vec<PlannedTask> {
        let (all, names) = (self.has_all(), self.names());
        let suites = protocol.suites.iter().filter(|suite| all || names.contains(&suite.name));
        suites.flat_map(|suite| benchmark::planned(suite, &self.task, trials(suite))).collect()
    }
}

impl Benchmark for Libero {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn select(&self, flags: &ArgMatches, _: &Choices) -> Result<Selection> {
        let flags: EpisodeFlags = benchmark::parsed(flags);
        let mut protocol = self.protocol();
        protocol.environment.set("reset_mode", value_name(flags.reset_mode));
        let trials = |suite: &Suite| flags.trials.unwrap_or(suite.trials).min(suite.trials);
        let tasks = flags.tasks.planned(&protocol, trials);
        let label = match flags.tasks.names().as_slice() {
            [suite] if !flags.tasks.has_all() => format!("libero-{suite}"),
            _ => "libero".into(),
        };
        Ok(Selection { protocol, tasks, label })
    }

    fn simulator(&self, flags: &ArgMatches, choices: &Choices) -> Result<Simulator> {
        let SimulatorFlags { assets, renderer } = benchmark::parsed(flags);
        let (renderer, note) = renderer_of(&renderer, benchmark::shell("MUJOCO_GL").as_deref());
        let mut options = BTreeMap::from([("renderer".into(), renderer.clone())]);
        if !choices.without_files {
            benchmark::note(note);
        }
        if renderer != "osmesa" {
            // Wishes for a card: the adapter finds it by what it is.
            let wishes =
                [("cards", "CUDA_VISIBLE_DEVICES"), ("egl_device", "MUJOCO_EGL_DEVICE_ID")];
            let wish =
                |(option, name): (&str, &str)| Some((option.into(), benchmark::shell(name)?));
            options.extend(wishes.into_iter().filter_map(wish));
        }
        let given = assets.as_deref().filter(|assets| !assets.is_empty());
        let assets = match given {
            Some(STAND_INS) => Some(STAND_INS.to_owned()),
            // Another program plays LIBERO then.
            given if choices.without_files => given.map(str::to_owned),
            given => Some(assets_folder(given.map(Path::new), choices)?),
        };
        options.extend(assets.map(|assets| ("assets".into(), assets)));
        Ok(Simulator { options, variables: BTreeMap::new() })
    }

    fn own_checkpoint(&self, flags: &ArgMatches, tasks: &[PlannedTask]) -> Option<OwnCheckpoint> {
        let SimulatorFlags { assets, .. } = benchmark::parsed(flags);
        let [usual, on_stand_ins] = environment::OWN_CHECKPOINTS;
        let own = match assets.as_deref() {
            Some(STAND_INS) => OwnCheckpoint {
                name: on_stand_ins,
                purpose: "tasks 0, 7 and 8 of suite object on stand-ins",
            },
            _ => OwnCheckpoint { name: usual, purpose: "tasks 0, 7 and 8 of suite object" },
        };
        tasks.iter().all(|task| task.suite == "object").then_some(own)
    }

    fn after_setup(&self) -> Option<String> {
        let fetch = benchmark::fetch_command("libero");
        Some(format!("LIBERO's own meshes and textures: {fetch} (90 MB)"))
    }
}

/// The folder that is named or has everything, or `stand-ins` where that is enough.
fn assets_folder(given: Option<&Path>, choices: &Choices) -> Result<String> {
    let found = match benchmark::files(&FACTS, given, choices)? {
        Some(root) => Some(root),
        None => other_download(&choices.suites),
    };
    match found {
        Some(root) => Ok(root.to_string_lossy().into_owned()),
        None if choices.tested => Err(no_assets().into()),
        None => Ok(STAND_INS.into()),
    }
}

fn no_assets() -> Refused {
    let refused = benchmark::no_files(&FACTS, "--assets", "UDVLA_LIBERO_ASSETS");
    let hint = refused.next_step().unwrap_or_default();
    let hint = format!(
        "{hint}; `--assets stand-ins` plays on simple shapes, whose results are marked \"not comparable\""
    );
    refused.hint(hint)
}

/// A complete copy that LIBERO's own package brought: in its folder, or its download.
fn other_download(suites: &[String]) -> Option<PathBuf> {
    let catalog = (FACTS.assets?)();
    let packages = environment::folder(&ENVIRONMENT).ok()?.join("lib");
    let packages = std::fs::read_dir(packages).into_iter().flatten().flatten();
    let own = packages.map(|lib| lib.path().join("site-packages/libero/libero/assets"));
    let home = std::env::home_dir();
    let download = home.map(|home| home.join(".cache/libero/assets"));
    own.chain(download).find(|root| catalog.faults(root, suites).is_empty())
}

/// The renderer for `--renderer` and the shell's `MUJOCO_GL`, and what to say about the latter.
fn renderer_of(flag: &str, shell: Option<&str>) -> (String, Option<String>) {
    match (flag, shell) {
        ("auto", Some(name @ ("egl" | "osmesa"))) => {
            (name.into(), Some(format!("the renderer is `{name}`, as MUJOCO_GL says")))
        }
        (flag, Some(name)) if flag != name => {
            let text = "which renders with `egl` or `osmesa` as `--renderer` says";
            (flag.into(), Some(format!("MUJOCO_GL={name} does not reach LIBERO, {text} ({flag})")))
        }
        _ => (flag.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn a_users_mujoco_gl_is_taken_or_said_to_be_overridden() {
        let (renderer, note) = renderer_of("auto", Some("osmesa"));
        assert_eq!(renderer, "osmesa");
        assert!(note.unwrap().contains("as MUJOCO_GL says"));
        for (flag, shell) in [("auto", "glfw"), ("egl", "osmesa"), ("osmesa", "egl")] {
            let (renderer, note) = renderer_of(flag, Some(shell));
            assert_eq!(renderer, flag);
            let note = note.unwrap();
            assert!(note.contains(shell) && note.contains("does not reach"), "{note}");
        }
        for (flag, shell) in [("auto", None), ("egl", Some("egl")), ("osmesa", None)] {
            assert_eq!(renderer_of(flag, shell), (flag.into(), None));
        }
    }

    #[test]
    fn the_own_checkpoint_is_the_one_for_the_assets() {
        let own = |words: &[&str]| {
            let command =
                SimulatorFlags::augment_args(EpisodeFlags::augment_args(Command::new("libero")));
            let words = [&["libero"], words].concat();
            let flags = command.get_matches_from(words);
            let selection = Libero.select(&flags, &Choices::default()).unwrap();
            Libero.own_checkpoint(&flags, &selection.tasks).map(|own| own.name)
        };
        assert_eq!(own(&["--suite", "object", "--assets", "here"]), Some("udvla-nano"));
        let on_stand_ins = ["--suite", "object", "--task", "7", "--assets", STAND_INS];
        assert_eq!(own(&on_stand_ins), Some("udvla-nano-stand-ins"));
        assert_eq!(own(&["--suite", "object,goal", "--assets", "here"]), None);
    }
}
