//! A toy without a simulator: the worked example of `docs/add-a-benchmark.md`, and what the tests
//! of the worker play.

use anyhow::Result;
use clap::{ArgMatches, Args, Command};
use udvla_sims::protocol::Protocol;

use super::benchmark::{self, Benchmark, Choices, Selection, Simulator};
use super::libero;
use crate::environment::PythonEnvironment;

/// The benchmark.
pub struct Toy;

#[derive(Debug, Args)]
#[command(next_help_heading = "Episodes")]
struct EpisodeFlags {
    /// Episodes per task
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20))]
    trials: u16,
}

impl Benchmark for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn about(&self) -> &'static str {
        "Run a toy without a simulator: an example to learn from"
    }

    fn is_listed(&self) -> bool {
        false
    }

    fn protocol(&self) -> Protocol {
        let text = include_str!("../../../sims/protocols/toy.json");
        serde_json::from_str(text).expect("the protocol file is tested")
    }

    fn environment(&self) -> &'static PythonEnvironment {
        // The toy needs numpy alone.
        &libero::ENVIRONMENT
    }

    fn episode_flags(&self, command: Command) -> Command {
        benchmark::with_flags::<EpisodeFlags>(command)
    }

    fn simulator_flags(&self, command: Command) -> Command {
        command
    }

    fn select(&self, flags: &ArgMatches, _: &Choices) -> Result<Selection> {
        let EpisodeFlags { trials } = benchmark::parsed(flags);
        let protocol = self.protocol();
        let tasks = benchmark::planned(&protocol.suites[0], &[], trials);
        Ok(Selection { protocol, tasks, label: "toy".into(), max_workers: None })
    }

    fn simulator(&self, _: &ArgMatches, _: &Choices) -> Result<Simulator> {
        Ok(Simulator::default())
    }
}
