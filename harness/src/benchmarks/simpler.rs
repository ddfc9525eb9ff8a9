//! SimplerEnv: four tasks of a WidowX arm, visual matching.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgMatches, Args, ValueEnum};
use udvla_sims::protocol::{Protocol, SuccessRule, Suite};

use super::benchmark::{self, Benchmark, Choices, Facts, Selection, Simulator, value_name};
use crate::assets::{Catalog, CatalogFile};
use crate::environment::{self, PythonEnvironment};
use crate::exit::Refused;
use crate::vulkan::{self, Renderer};
use crate::walls::Walls;

/// The adapter option with variables, as JSON, that a worker sets itself where the card does not
/// render.
pub const OTHERWISE: &str = "otherwise";
const COMMIT: &str = "ef7a4d4fdf4b69f2c2154db5b15b9ac8dfe10682";

/// SAPIEN 2.2.2 has no wheels for later Pythons.
static ENVIRONMENT: PythonEnvironment = PythonEnvironment {
    name: "simpler",
    lock: include_str!("../../../sims/python/simpler.lock"),
    versions: &["3.11", "3.10"],
    imports: &["numpy", "scipy", "cv2", "transforms3d", "pkg_resources", "av"],
    megabytes: 200,
};

/// The benchmark.
pub struct Simpler;

static FACTS: Facts = Facts {
    name: "simpler",
    about: "Run the four WidowX tasks of SimplerEnv and report success rates",
    is_listed: true,
    protocol: Protocol::simpler,
    environment: &ENVIRONMENT,
    episode_flags: EpisodeFlags::augment_args,
    simulator_flags: SimulatorFlags::augment_args,
    data_option: Some("simpler_root"),
    action: &[
        ("x", "m"),
        ("y", "m"),
        ("z", "m"),
        ("rx", "rad"),
        ("ry", "rad"),
        ("rz", "rad"),
        ("gripper", "-1 closes, 1 opens"),
    ],
    assets: Some(catalog),
    demonstrations: None,
    worker_megabytes: 1000,
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Episodes")]
struct EpisodeFlags {
    /// Tasks to run, for example spoon or spoon,carrot [default: all]
    #[arg(long, value_enum, value_name = "TASKS", value_delimiter = ',')]
    task: Vec<TaskChoice>,
    /// Episode ids to run per task, from 0 on
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=24))]
    trials: u16,
    /// Repeats of all episode ids with new sampling noise
    ///
    /// The initial states stay the same 24, so intervals over repeats are too narrow for other
    /// initial states.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    /// When the goal has to hold; part of the protocol
    #[arg(long, value_enum, default_value_t = SuccessChoice::LastStep, hide_short_help = true)]
    success: SuccessChoice,
    /// Control steps per episode; part of the protocol [default: 60, eggplant 120]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), hide_short_help = true)]
    max_steps: Option<u32>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Simulator")]
struct SimulatorFlags {
    /// Checkout of ManiSkill2_real2sim
    ///
    /// Or one of SimplerEnv that contains it. Default: what `udvla-eval setup simpler --scene` fetched.
    #[arg(long, env = "SIMPLER_ROOT", hide_env_values = true, value_name = "DIR")]
    simpler_root: Option<PathBuf>,
    /// Implementation of the environment; the results are the same
    #[arg(long, value_enum, default_value_t = Adapter::Slim, hide_short_help = true)]
    adapter: Adapter,
    /// Renderer, for a policy that takes images
    #[arg(long, value_enum, default_value_t = Renderer::Auto)]
    renderer: Renderer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TaskChoice {
    /// put the spoon on the towel
    #[value(alias = "widowx_spoon_on_towel")]
    Spoon,
    /// put carrot on plate
    #[value(alias = "widowx_carrot_on_plate")]
    Carrot,
    /// stack the green block on the yellow block
    #[value(alias = "widowx_stack_cube")]
    Stack,
    /// put eggplant into yellow basket
    #[value(alias = "widowx_put_eggplant_in_basket")]
    Eggplant,
    /// All four
    All,
}

/// When the goal of an episode has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SuccessChoice {
    /// After the last step, as in the paper's evaluation
    LastStep,
    /// After any step, even if it was lost again
    AnyStep,
}

/// Implementation of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Adapter {
    /// Ours, on SAPIEN alone
    Slim,
    /// The checkout's own `mani_skill2_real2sim`
    Upstream,
}

impl Benchmark for Simpler {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn select(&self, flags: &ArgMatches, choices: &Choices) -> Result<Selection> {
        let flags: EpisodeFlags = benchmark::parsed(flags);
        let protocol = with_rules(self.protocol(), flags.success, flags.max_steps);
        let suite = &protocol.suites[0];
        let trials = trials(&flags, suite, choices)?;
        let all = flags.task.is_empty() || flags.task.contains(&TaskChoice::All);
        let names: Vec<String> = flags.task.iter().copied().map(value_name).collect();
        let mut tasks = benchmark::planned(suite, &[], trials);
        let named = suite.details.named_tasks();
        tasks.retain(|task| all || names.contains(&named[usize::from(task.task)].name));
        let label = match names.as_slice() {
            [task] if !all => format!("simpler-{task}"),
            _ => "simpler".into(),
        };
        Ok(Selection { protocol, tasks, label })
    }

    fn simulator(&self, flags: &ArgMatches, choices: &Choices) -> Result<Simulator> {
        let SimulatorFlags { simpler_root, adapter, renderer } = benchmark::parsed(flags);
        let mut options = BTreeMap::from([("adapter".into(), value_name(adapter))]);
        let mut walls = Walls::default();
        if !choices.without_files {
            let root =
                benchmark::files(&FACTS, simpler_root.as_deref(), choices).and_then(|root| {
                    root.ok_or_else(|| {
                        benchmark::no_files(&FACTS, "--simpler-root", "SIMPLER_ROOT").into()
                    })
                });
            let root = walls.pass(root)?.unwrap_or_default();
            options.insert("simpler_root".into(), root.to_string_lossy().into_owned());
        }
        let drawing = walls.pass(vulkan::choose(renderer))?;
        walls.finish()?;
        let drawing = drawing.expect("a driver that was not chosen is a wall");
        if let Some(otherwise) = &drawing.otherwise {
            options.insert(OTHERWISE.into(), serde_json::to_string(otherwise)?);
        }
        options.insert("renderer".into(), value_name(drawing.renderer));
        Ok(Simulator { options, variables: drawing.variables })
    }

    fn after_setup(&self) -> Option<String> {
        let driver = match vulkan::nvidia().or(vulkan::lavapipe().ok().flatten()) {
            Some(_) => String::new(),
            None => {
                let script = environment::lavapipe_script();
                format!("no driver can render yet: {script} installs one; ")
            }
        };
        let fetch = benchmark::fetch_command("simpler");
        Some(format!("{driver}the scenes' files come from SimplerEnv's repository: {fetch}"))
    }

    fn list(&self) {
        for suite in self.protocol().suites {
            println!("{} ({} tasks x {} episode ids)", suite.name, suite.tasks.len(), suite.trials);
            for (task, named) in suite.tasks.iter().zip(suite.details.named_tasks()) {
                println!("  {:<10}{task}, at most {} steps", named.name, named.max_steps);
            }
        }
    }
}

/// The protocol's list of files; a checkout of SimplerEnv holds the repository as a submodule.
fn catalog() -> Catalog {
    let files = Protocol::simpler().suites[0].details.files().into_iter();
    Catalog {
        repository: "https://github.com/simpler-env/ManiSkill2_real2sim".into(),
        commit: COMMIT.into(),
        roots: vec![String::new(), "ManiSkill2_real2sim".into()],
        into: String::new(),
        files: files.map(|(path, git)| (path, CatalogFile { git, suites: vec![] })).collect(),
    }
}

/// The paper's protocol; with another rule or limit, a renamed copy (`-own`).
fn with_rules(mut protocol: Protocol, success: SuccessChoice, max_steps: Option<u32>) -> Protocol {
    if success == SuccessChoice::LastStep && max_steps.is_none() {
        return protocol;
    }
    protocol.rename("-own");
    let rule = match success {
        SuccessChoice::LastStep => SuccessRule::LastStep,
        SuccessChoice::AnyStep => SuccessRule::AnyStep,
    };
    protocol.environment.set("success", rule.name());
    if let Some(limit) = max_steps {
        let suite = &mut protocol.suites[0];
        suite.details.limit_steps(limit);
        suite.max_steps = limit;
    }
    protocol
}

/// Trials per task: the episode ids, once or several times over.
fn trials(flags: &EpisodeFlags, suite: &Suite, choices: &Choices) -> Result<u16> {
    if flags.repeats == 1 {
        return Ok(flags.trials);
    }
    if flags.trials < suite.trials {
        return Err(Refused::new(format!("`--repeats` plays all {} episode ids", suite.trials))
            .hint("leave `--trials` out")
            .into());
    }
    if matches!(choices.policy.as_str(), "expert" | "idle") {
        return Err(Refused::new(format!(
            "policy `{}` has no noise to repeat with",
            choices.policy
        ))
        .hint("leave `--repeats` out: every repeat would end the same")
        .into());
    }
    Ok(flags.trials * flags.repeats)
}
