//! Pages made from the command line itself: completions, man pages, the reference.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{self, Cli};
use crate::exit::Exit;

/// Prints the completion script of a shell.
///
/// # Errors
/// Never; the signature is the subcommands' common one.
pub fn completions(shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "udvla-eval", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(Exit::Complete)
}

/// Writes a man page per subcommand.
///
/// # Errors
/// When the folder cannot be written.
pub fn man(directory: &Path) -> Result<Exit> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| format!("cannot write `{}`", directory.display()))?;
    eprintln!("wrote {}", directory.display());
    Ok(Exit::Complete)
}

/// Prints the command reference as Markdown.
///
/// # Errors
/// Never; the signature is the subcommands' common one.
pub fn reference() -> Result<Exit> {
    print!("{}", cli::reference());
    Ok(Exit::Complete)
}
