//! `list`: what can be run.

use anyhow::Result;
use udvla_sims::protocol::Protocol;
use udvla_sims::sequences::Sequences;

use crate::cli::Benchmark;
use crate::exit::Exit;

/// Prints benchmarks, or one benchmark's suites and tasks.
///
/// # Errors
/// Never; the signature is the subcommands' common one.
pub fn run(benchmark: Option<Benchmark>) -> Result<Exit> {
    match benchmark {
        None => {
            for protocol in [Protocol::libero(), Protocol::calvin(), Protocol::simpler()] {
                overview(&protocol);
            }
        }
        Some(Benchmark::Libero) => libero(),
        Some(Benchmark::Calvin) => calvin(),
        Some(Benchmark::Simpler) => simpler(),
    }
    Ok(Exit::Complete)
}

fn overview(protocol: &Protocol) {
    let episodes: usize =
        protocol.suites.iter().map(|suite| suite.tasks.len() * usize::from(suite.trials)).sum();
    let suites = match protocol.suites.len() {
        1 => "1 suite".to_owned(),
        n => format!("{n} suites"),
    };
    println!(
        "{:<8} {suites}, {episodes} episodes, protocol {} version {} ({})",
        protocol.benchmark,
        protocol.name,
        protocol.version,
        protocol.fingerprint()
    );
}

fn libero() {
    for suite in Protocol::libero().suites {
        println!(
            "{} ({} tasks x {} trials, at most {} steps)",
            suite.name,
            suite.tasks.len(),
            suite.trials,
            suite.max_steps
        );
        for (index, task) in suite.tasks.iter().enumerate() {
            println!("  {index}  {task}");
        }
    }
}

fn calvin() {
    for suite in Protocol::calvin().suites {
        println!(
            "{} (chains of {} sub-tasks, at most {} steps each)",
            suite.name, suite.stages, suite.max_steps
        );
        for subtask in suite.details["subtasks"].as_array().into_iter().flatten() {
            let text = |key: &str| subtask[key].as_str().unwrap_or_default();
            println!("  {:<24}{}", text("name"), text("instruction"));
        }
    }
    for list in [Sequences::canonical(), Sequences::udvla_2026_01()] {
        println!("sequences {} ({} chains, sha256:{})", list.name, list.count(), list.sha256());
    }
}

fn simpler() {
    for suite in Protocol::simpler().suites {
        println!("{} ({} tasks x {} episode ids)", suite.name, suite.tasks.len(), suite.trials);
        let details = suite.details["tasks"].as_array().into_iter().flatten();
        for (task, details) in suite.tasks.iter().zip(details) {
            let name = details["name"].as_str().unwrap_or_default();
            println!("  {name:<10}{task}, at most {} steps", details["max_steps"]);
        }
    }
}
