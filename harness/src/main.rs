//! The command `udvla-eval`: parse, do, report, exit.

use std::process::ExitCode;

use clap::Parser;
use udvla_eval::cli::Cli;
use udvla_eval::commands;
use udvla_eval::exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !cli.command.runs_episodes() {
        exit::quietly_on_closed_stdout();
    }
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}
