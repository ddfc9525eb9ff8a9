//! `list`: what can be run.

use anyhow::{Context, Result};
use udvla_sims::protocol::Protocol;

use crate::benchmarks;
use crate::exit::Exit;

/// Prints the benchmarks, or one benchmark's suites and tasks.
///
/// # Errors
/// Never for a name that the command line accepts.
pub fn run(benchmark: Option<&str>) -> Result<Exit> {
    match benchmark {
        None => {
            benchmarks::listed().for_each(|benchmark| overview(&benchmark.protocol()));
            overview(&Protocol::real());
        }
        Some(name) => benchmarks::find(name).context("the command line checks the name")?.list(),
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
