//! The plan of `udvla-eval simpler`: WidowX tasks, episode ids, files, what draws the pictures.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use udvla_results::manifest::PlannedTask;
use udvla_sims::protocol::{Protocol, Suite};

use crate::cli::{PolicyName, SimplerArguments, SimplerSimulator, SimplerSuccess, WidowxTask};
use crate::environment::SIMPLER_LOCK;
use crate::exit::Refused;
use crate::plan::{Plan, Simulator, name, new_directory, worker_command, workers};
use crate::vulkan;

const CLONE: &str = "git clone https://github.com/simpler-env/ManiSkill2_real2sim, then `--simpler-root ManiSkill2_real2sim` or `SIMPLER_ROOT=ManiSkill2_real2sim`";

/// Decides what `udvla-eval simpler` will run.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn plan(arguments: SimplerArguments) -> Result<Plan> {
    let protocol = protocol(arguments.success, arguments.max_steps);
    let suite = &protocol.suites[0];
    let trials = trials(&arguments, suite)?;
    let tasks = tasks(suite, &arguments.task, trials);
    let label = match arguments.task.as_slice() {
        [one] if *one != WidowxTask::All => format!("simpler-{}", name(*one)),
        _ => "simpler".into(),
    };
    Ok(Plan {
        simulator: simulator(&arguments.simulator)?,
        directory: arguments.run.out.clone().unwrap_or_else(|| new_directory(&label)),
        workers: workers(&arguments.run, tasks.len() * usize::from(trials)),
        tasks,
        run: arguments.run,
        protocol,
    })
}

/// The paper's protocol, or under another name one with another rule or limit.
fn protocol(success: SimplerSuccess, max_steps: Option<u32>) -> Protocol {
    let mut protocol = Protocol::simpler();
    if success == SimplerSuccess::LastStep && max_steps.is_none() {
        return protocol;
    }
    protocol.name = format!("{}-own", protocol.name);
    protocol.environment.insert("success".into(), name(success).into());
    let suite = &mut protocol.suites[0];
    let tasks = suite.details.get_mut("tasks").and_then(Value::as_array_mut);
    for (task, limit) in tasks.into_iter().flatten().flat_map(|task| Some((task, max_steps?))) {
        task["max_steps"] = limit.into();
        suite.max_steps = limit;
    }
    protocol
}

/// How SimplerEnv's workers are started.
///
/// # Errors
/// [`Refused`] when the checkout, the driver, the worker, its Python or the adapters are missing.
pub fn simulator(arguments: &SimplerSimulator) -> Result<Simulator> {
    let mut options = BTreeMap::from([("adapter".into(), name(arguments.adapter))]);
    if let Some(root) = &arguments.simpler_root {
        // Workers have a working directory of their own.
        let root = root.canonicalize().map_err(|error| {
            let text = format!("there is no SimplerEnv checkout at `{}`", root.display());
            Refused::new(text).because(error).hint(CLONE)
        })?;
        options.insert("simpler_root".into(), root.to_string_lossy().into_owned());
    } else if arguments.worker.simulator.is_none() {
        return Err(Refused::new("SimplerEnv's scene files are not known").hint(CLONE).into());
    }
    let drawing = vulkan::choose(arguments.renderer)?;
    options.insert("renderer".into(), name(drawing.renderer));
    let mut simulator = worker_command("simpler", SIMPLER_LOCK, &arguments.worker, options)?;
    simulator.command.environment = drawing.variables;
    Ok(simulator)
}

/// Trials per task: the episode ids, once or several times over.
fn trials(arguments: &SimplerArguments, suite: &Suite) -> Result<u16> {
    let SimplerArguments { trials, repeats, .. } = *arguments;
    if repeats == 1 {
        return Ok(trials);
    }
    if trials < suite.trials {
        return Err(Refused::new(format!("`--repeats` plays all {} episode ids", suite.trials))
            .hint("leave `--trials` out")
            .into());
    }
    if matches!(arguments.run.policy, PolicyName::Expert | PolicyName::Idle) {
        let policy = name(arguments.run.policy);
        return Err(Refused::new(format!("the policy `{policy}` has no noise to repeat with"))
            .hint("leave `--repeats` out: every repeat would end alike")
            .into());
    }
    Ok(trials * repeats)
}

fn tasks(suite: &Suite, asked: &[WidowxTask], trials: u16) -> Vec<PlannedTask> {
    let wanted = |task: &WidowxTask| asked.is_empty() || asked.contains(task);
    let all = wanted(&WidowxTask::All);
    let every = [WidowxTask::Spoon, WidowxTask::Carrot, WidowxTask::Stack, WidowxTask::Eggplant];
    (0..)
        .zip(every.iter().zip(&suite.tasks))
        .filter(|(_, (task, _))| all || wanted(task))
        .map(|(index, (_, instruction))| PlannedTask {
            suite: suite.name.clone(),
            task: index,
            instruction: instruction.clone(),
            trials,
            stages: suite.stages,
        })
        .collect()
}
