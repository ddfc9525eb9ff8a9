//! The command `udvla-eval`: parse, do, report, exit.

use std::process::ExitCode;

use clap::Parser;
use udvla_eval::cli::Cli;
use udvla_eval::exit::{self, Exit};
use udvla_eval::{commands, output};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return exit::explain(&message),
    };
    let runs_episodes = cli.command.runs_episodes();
    if !runs_episodes {
        exit::quietly_on_closed_stdout();
    }
    let exit = commands::run(cli).unwrap_or_else(|error| exit::report(&error));
    // The records and tables of a run are in its directory, whatever the terminal took of them.
    let exit = match output::stdout_failure() {
        Some(failure) if !runs_episodes && exit == Exit::Complete => exit::report_stdout(failure),
        _ => exit,
    };
    output::flush();
    exit.into()
}
