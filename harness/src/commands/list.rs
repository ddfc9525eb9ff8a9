//! `list`: what can be run.

use anyhow::Result;
use udvla_sims::protocol::Protocol;

use crate::cli::Benchmark;
use crate::exit::Exit;

/// Prints benchmarks, or one benchmark's suites and tasks.
///
/// # Errors
/// Never; the signature is the subcommands' common one.
pub fn run(benchmark: Option<Benchmark>) -> Result<Exit> {
    match benchmark {
        None => {
            let protocol = Protocol::libero();
            let episodes: usize = protocol
                .suites
                .iter()
                .map(|suite| suite.tasks.len() * usize::from(suite.trials))
                .sum();
            println!(
                "libero   {} suites, {episodes} episodes, protocol {} version {} ({})",
                protocol.suites.len(),
                protocol.name,
                protocol.version,
                protocol.fingerprint()
            );
        }
        Some(Benchmark::Libero) => {
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
    }
    Ok(Exit::Complete)
}
