//! The program: parse, do, report, exit.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::{self, Exit};
use crate::output;

/// Runs the program; `run` does what was typed.
pub fn main(run: fn(Cli) -> Result<Exit>) -> ExitCode {
    keep_freed_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return exit::explain(&message),
    };
    let runs_episodes = cli.command.runs_episodes();
    if !runs_episodes {
        exit::quietly_on_closed_stdout();
    }
    let exit = run(cli).unwrap_or_else(|error| exit::report(&error));
    // The records and tables of a run are in its directory, whatever the terminal took of them.
    let exit = match output::stdout_failure() {
        Some(failure) if !runs_episodes && exit == Exit::Complete => exit::report_stdout(failure),
        _ => exit,
    };
    output::flush();
    exit.into()
}

/// Has the C library keep large blocks that were freed, for the next tensor of their size.
///
/// By default it maps large ones and unmaps them again, and the kernel clears the pages each time
/// (docs/measurements/decode-cpu.md).
#[cfg(target_env = "gnu")]
fn keep_freed_memory() {
    // SAFETY: no other thread runs yet; a value that is too large for this C library is refused.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_freed_memory() {}
