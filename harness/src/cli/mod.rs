//! The command line: what was typed, and its translation to a [`Plan`](crate::plan::Plan).

use std::fmt::Write as _;

use clap::CommandFactory;

mod bench;
mod benchmark;
#[cfg(feature = "torch")]
mod checkpoint;
mod collect;
mod command;
#[cfg(feature = "torch")]
mod model;
mod plan;
mod published;
mod real;
mod results;
mod run;
mod runs_folder;
#[cfg(feature = "torch")]
mod serve;
mod server;
mod slurm;
mod tracking;
#[cfg(feature = "torch")]
mod train;
mod values;

pub use bench::{BenchCommand, PipelineArguments, SimsArguments};
pub use benchmark::{DoctorCommand, DoctorSimulator, OverviewArguments, RunCommand};
#[cfg(feature = "torch")]
pub use checkpoint::{
    AssembleArguments, BenchmarkFiles, DecodeArguments, ImagineArguments, InspectArguments,
    MakeArguments,
};
pub use collect::{CollectArguments, CollectCommand};
pub use command::{Cli, Command, ResumeArguments, SetupArguments};
#[cfg(feature = "torch")]
pub use model::{DeviceArguments, ModelArguments};
#[cfg(feature = "torch")]
pub use plan::model_plan;
pub use plan::{
    default_simulator_plan, episodes_of_command, new_directory, plan_of_command, plan_of_run,
    policy, simulator_plan,
};
pub use real::{NOT_DRIVEN, RealArguments};
pub use results::*;
pub use run::{PolicyArguments, RunArguments, WorkerArguments};
#[cfg(feature = "torch")]
pub use serve::ServeArguments;
pub use server::ServerArguments;
pub use slurm::SlurmArguments;
pub use tracking::TrackingArguments;
#[cfg(feature = "torch")]
pub use train::{TrainArguments, TrainPart};
pub use values::BenchmarkName;

/// The command reference as Markdown: the long help of every command.
pub fn reference() -> String {
    let mut text =
        "# Command reference\n\nThe help of every command, made by `udvla-eval reference`.\n"
            .to_owned();
    let mut cli = Cli::command().term_width(100);
    cli.build();
    write_help(&mut text, &mut cli, "udvla-eval");
    text
}

fn write_help(text: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end())
        .expect("writing to a string cannot fail");
    for inner in command.get_subcommands_mut() {
        if !inner.is_hide_set() && inner.get_name() != "help" {
            let name = format!("{name} {}", inner.get_name());
            write_help(text, inner, &name);
        }
    }
}
