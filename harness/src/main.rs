//! The command `udvla-eval`.

use std::process::ExitCode;

use clap::Parser;
use udvla_eval::cli::Cli;
use udvla_eval::commands;
use udvla_eval::exit::{Exit, Refused};

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            let refused = error.downcast_ref::<Refused>();
            if let Some(hint) = refused.and_then(Refused::next_step) {
                eprintln!("\nhint: {hint}");
            }
            if refused.is_some() { Exit::Refused.into() } else { Exit::Internal.into() }
        }
    }
}

/// The error and its causes in one line; a cause that repeats what stands already is left out.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            before if before.ends_with(&cause) => text,
            before => format!("{before}: {cause}"),
        }
    })
}
