//! `real`: trials on a real robot, judged by an operator.

use std::io::stdin;

use anyhow::{Context, Result};
use udvla_results::out::printable::printable;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::PlannedTask;
use udvla_results::run::seal::new_run_id;
use udvla_sims::protocol::Protocol;

use crate::cli::{self, NOT_DRIVEN, RealArguments};
use crate::exit::{self, Exit, Refused};
use crate::output;
use crate::plan::{PolicyPlan, TakeOver, UDVLA};
use crate::preflight;
use crate::real::drive::RobotPlan;
use crate::real::operator::{Operator, Terminal};
use crate::real::page::Page;
use crate::real::plan::{Session, Stored};
use crate::real::session::Trials;
use crate::real::tasks;
use crate::report::{Show, color};
use crate::run::Ending;

/// Starts a session, or continues the one in `--out`.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn run(arguments: &RealArguments, show: Show) -> Result<Exit> {
    let directory = arguments.out.clone().unwrap_or_else(|| cli::new_directory("real"));
    let before = Session::stored(&directory)?;
    let order_seed = match (arguments.order_seed, &before) {
        (Some(seed), _) => seed,
        (None, Some(before)) => before.stored.order_seed,
        (None, None) => drawn_seed()?,
    };
    let protocol = tasks::protocol(arguments.tasks.as_deref())?;
    let session = Session {
        tasks: planned(&protocol, arguments)?,
        stored: stored(arguments, &protocol, order_seed)?,
        protocol,
        directory,
        command: exit::typed(),
    };
    play(&session, arguments.page, show, Damage::Refuse, TakeOver::No)
}

/// Plays a session, and writes tables and plots when nothing can be given away by them.
///
/// # Errors
/// [`Refused`] when a run directory or the page's port cannot be used.
pub fn play(
    session: &Session,
    page: Option<u16>,
    show: Show,
    damage: Damage,
    take_over: TakeOver,
) -> Result<Exit> {
    let trials = Trials::open(session, damage, take_over)?;
    if trials.done() > 0 {
        println!("{} trials have an outcome already", trials.done());
    }
    let ending = match page {
        None => trials.run(&mut Terminal { input: stdin().lock() })?,
        Some(port) => {
            let mut page = Page::open(port)?;
            println!("asking on {}", page.address());
            let ending = trials.run(&mut page as &mut dyn Operator)?;
            page.close("The session has ended; the terminal says how.");
            ending
        }
    };
    let is_complete = matches!(ending, Ending::Complete);
    let blinded = session.stored.is_blinded();
    output::flush();
    if is_complete || !blinded {
        for directory in session.directories() {
            super::report::run(&directory, damage, show)?;
        }
    }
    let directory = session.directory.display();
    if is_complete && blinded {
        println!("\nudvla-eval compare {directory}/1 {directory}/2");
    }
    if let Ending::GaveUp(reason) = &ending {
        eprintln!("error: {}", printable(&reason.to_string()));
    }
    if !is_complete {
        let trust = if session.needs_trust().is_some() { " --trust" } else { "" };
        eprintln!("\n{} udvla-eval resume {directory}{trust}", color::label("hint:"));
    }
    Ok(ending.exit())
}

/// The policies of a session, and the robot where it is driven.
fn stored(arguments: &RealArguments, protocol: &Protocol, order_seed: u64) -> Result<Stored> {
    let switch = arguments.switch.clone();
    let (policies, robot) = match arguments.robot.as_str() {
        NOT_DRIVEN => (named(arguments)?, None),
        _ => {
            let robot = driven(arguments, protocol)?;
            (robot.policies.iter().map(|policy| policy.name().to_owned()).collect(), Some(robot))
        }
    };
    Ok(Stored { policies, order_seed, switch, robot }.in_drawn_order())
}

/// Policies that act elsewhere, by name.
fn named(arguments: &RealArguments) -> Result<Vec<String>> {
    let RealArguments { name: names, tested, .. } = arguments;
    let refused = |text: &str, hint: &str| Err(Refused::new(text).hint(hint).into());
    if tested.policy != UDVLA || arguments.versus.is_some() {
        return refused(
            "no policy of this program acts without a robot that it drives",
            "name the robot with `--robot ws://HOST:PORT`, or the policy that acts with `--name`",
        );
    }
    match names.as_slice() {
        [] => refused("the policy that acts has no name", "pass `--name NAME`"),
        [_] => Ok(names.clone()),
        [one, other] if one == other => refused(
            &format!("both policies are called `{one}`"),
            "name them so that tables can tell them apart",
        ),
        [_, _] if arguments.switch.is_none() => refused(
            "with two policies the operator must not choose which one acts",
            "`--switch COMMAND` switches the robot; docs/real-robot.md shows one",
        ),
        [_, _] => Ok(names.clone()),
        _ => refused(&format!("{} policies", names.len()), "a session has one or two"),
    }
}

/// The policies of this program that drive a robot.
fn driven(arguments: &RealArguments, protocol: &Protocol) -> Result<RobotPlan> {
    let RealArguments { robot, robot_timeout, tested, versus, name, switch, .. } = arguments;
    if !name.is_empty() || switch.is_some() {
        return Err(Refused::new("`--name` and `--switch` go with policies that act elsewhere")
            .hint("`--policy` and `--versus` choose the policies that drive the robot")
            .into());
    }
    let mut all = vec![tested.clone()];
    all.extend(versus.iter().map(|other| tested.other(other)));
    let policies = all.iter().map(|tested| {
        let policy = cli::policy(tested, &protocol.benchmark)?;
        if let PolicyPlan::Weightless { name } = &policy {
            check_weightless(name, protocol)?;
        }
        preflight::policy(&policy)?;
        Ok(policy)
    });
    Ok(RobotPlan {
        address: robot.clone(),
        timeout: *robot_timeout,
        seed: tested.seed,
        policies: policies.collect::<Result<_>>()?,
    })
}

/// Noise must not move a robot, and an idle action is known only where the tasks name one.
fn check_weightless(name: &str, protocol: &Protocol) -> Result<()> {
    if name != "idle" {
        let text = format!("policy `{name}` does not drive a robot");
        return Err(Refused::new(text).hint("use a policy that was trained, or `idle`").into());
    }
    if protocol.environment.idle_action().is_err() {
        return Err(Refused::new("the tasks do not say which action leaves the robot where it is")
            .hint("add `idle_action` to `environment` in the file of `--tasks`")
            .into());
    }
    Ok(())
}

fn planned(protocol: &Protocol, arguments: &RealArguments) -> Result<Vec<PlannedTask>> {
    let names: Vec<&str> = protocol.suites.iter().map(|suite| suite.name.as_str()).collect();
    if let Some(unknown) = arguments.suite.iter().find(|name| !names.contains(&name.as_str())) {
        let text = format!("there is no suite `{unknown}`, but {}", names.join(", "));
        return Err(Refused::new(text).hint("leave `--suite` out to run all").into());
    }
    let mut tasks = Vec::new();
    for suite in &protocol.suites {
        if !arguments.suite.is_empty() && !arguments.suite.contains(&suite.name) {
            continue;
        }
        let most = arguments.trials.unwrap_or(suite.trials);
        if most > suite.trials {
            let text = format!("`{}` has {} trials per task, not {most}", suite.name, suite.trials);
            return Err(Refused::new(text).hint("`--tasks FILE` may have more").into());
        }
        for (task, instruction) in (0..).zip(&suite.tasks) {
            if arguments.task.is_empty() || arguments.task.contains(&task) {
                tasks.push(PlannedTask {
                    suite: suite.name.clone(),
                    task,
                    instruction: instruction.clone(),
                    trials: most,
                    stages: suite.stages,
                });
            }
        }
    }
    if tasks.is_empty() { Err(Refused::new("no task is left to run").into()) } else { Ok(tasks) }
}

/// A seed that can be typed again.
fn drawn_seed() -> Result<u64> {
    let id = new_run_id().context("cannot draw an order of trials")?;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(6).collect();
    u64::from_str_radix(&digits, 16).context("an id is hexadecimal")
}
