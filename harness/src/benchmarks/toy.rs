//! A toy without a simulator: the worked example of `docs/add-a-benchmark.md`, and what the tests
//! of the worker play.

use anyhow::Result;
use clap::{ArgMatches, Args};
use udvla_sims::protocol::Protocol;

use super::benchmark::{self, Benchmark, Choices, Facts, Selection, Simulator};
use super::libero;

/// The benchmark.
pub struct Toy;

static FACTS: Facts = Facts {
    name: "toy",
    about: "Run a toy without a simulator: an example to learn from",
    is_listed: false,
    protocol: toy_protocol,
    // The toy needs numpy alone.
    environment: &libero::ENVIRONMENT,
    episode_flags: EpisodeFlags::augment_args,
    simulator_flags: |command| command,
    data_option: None,
    action: &[("x", "1"), ("y", "1"), ("z", "1")],
    assets: None,
    demonstrations: None,
    worker_megabytes: 100,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Episodes")]
struct EpisodeFlags {
    /// Episodes per task
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20))]
    trials: u16,
}

impl Benchmark for Toy {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn select(&self, flags: &ArgMatches, _: &Choices) -> Result<Selection> {
        let EpisodeFlags { trials } = benchmark::parsed(flags);
        let protocol = self.protocol();
        let tasks = benchmark::planned(&protocol.suites[0], &[], trials);
        Ok(Selection { protocol, tasks, label: "toy".into() })
    }

    fn simulator(&self, _: &ArgMatches, _: &Choices) -> Result<Simulator> {
        Ok(Simulator::default())
    }
}

fn toy_protocol() -> Protocol {
    let text = include_str!("../../../sims/protocols/toy.json");
    serde_json::from_str(text).expect("the protocol file is tested")
}
