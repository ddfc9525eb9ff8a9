//! The command `udvla-eval`.

use std::process::ExitCode;

use clap::Parser;
use udvla_eval::cli::Cli;
use udvla_eval::commands;
use udvla_eval::exit::{Exit, Refused};

fn main() -> ExitCode {
    end_where_nobody_reads();
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

/// Ends the program without a word when its output goes to a reader that has seen enough, such as
/// `head`: writing to it panics, and that is no fault. The exit code is a shell's for SIGPIPE.
fn end_where_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(141);
        }
        report(panic);
    }));
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
