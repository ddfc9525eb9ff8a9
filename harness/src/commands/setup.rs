//! `setup`: a simulator's Python environment from its lock file.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::benchmarks::{self, Benchmark, Choices};
use crate::cli::SetupArguments;
use crate::environment::{self, PythonEnvironment};
use crate::exit::{Exit, Refused};
use crate::installer;

/// Makes a benchmark's environment unless it exists, or prints what was asked for.
///
/// # Errors
/// [`Refused`] when no suitable Python is found or packages cannot be installed.
pub fn run(arguments: &SetupArguments) -> Result<Exit> {
    let benchmark = benchmarks::find(&arguments.benchmark).context("the command line checks it")?;
    let recipe = benchmark.facts().environment;
    if arguments.print {
        println!("{}", environment::python(recipe, None)?.display());
    } else if arguments.print_variables {
        print_variables(benchmark)?;
    } else if make(recipe, arguments.python.as_deref())?
        && let Some(hint) = benchmark.after_setup()
    {
        eprintln!("\nhint: {hint}");
    }
    Ok(Exit::Complete)
}

/// Makes the environment; false if it existed already.
fn make(recipe: &PythonEnvironment, python: Option<&Path>) -> Result<bool> {
    let (name, versions) = (recipe.name, recipe.versions);
    let folder = environment::folder(recipe)?;
    if folder.symlink_metadata().is_ok() {
        let Some(fault) = installer::fault(&folder, recipe) else {
            eprintln!("{name}: ready in {}", folder.display());
            return Ok(false);
        };
        eprintln!("{name}: the environment is broken and is made again: {fault}");
    }
    let python = match python {
        Some(path) => suitable_python(path.as_os_str(), versions).ok_or_else(|| {
            Refused::new(format!("`{}` is not Python {}", path.display(), versions.join(", ")))
                .hint("leave `--python` out to take the first one on PATH")
        })?,
        None => find(versions)?,
    };
    eprintln!("{name}: making {} with {}", folder.display(), python.display());
    // Built under another name, so that an environment is either complete or absent.
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_dir_all(&part);
    let made = install(&python, &part, recipe);
    if made.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    made?;
    installer::put_in_place(&part, &folder, recipe)?;
    eprintln!("{name}: ready in {}", folder.display());
    Ok(true)
}

/// Prints the environment variables of a benchmark's workers with default flags.
fn print_variables(benchmark: &dyn Benchmark) -> Result<()> {
    let command = (benchmark.facts().simulator_flags)(clap::Command::new(benchmark.name()));
    let flags = command.try_get_matches_from([benchmark.name()])?;
    let choices = Choices { without_files: true, ..Choices::default() };
    for (name, value) in benchmark.simulator(&flags, &choices)?.variables {
        println!("{name}={value}");
    }
    Ok(())
}

/// Makes an environment and checks that its packages are there and import.
fn install(python: &Path, folder: &Path, recipe: &PythonEnvironment) -> Result<()> {
    installer::make_venv(python, folder)?;
    installer::install(folder, recipe)?;
    match installer::fault(folder, recipe) {
        None => Ok(()),
        Some(fault) => Err(Refused::new(format!(
            "{}'s packages do not work: {fault}",
            recipe.name
        ))
        .hint("install what it names with the system's package manager, or pass another `--python`")
        .into()),
    }
}

/// The first suitable Python on PATH.
fn find(versions: &[&str]) -> Result<PathBuf> {
    let names = versions.iter().map(|version| format!("python{version}"));
    names.chain(["python3".to_owned()]).find_map(|name| suitable_python(OsStr::new(&name), versions)).ok_or_else(
        || {
            Refused::new(format!("no Python {} on PATH", versions.join(", ")))
                .hint("install one (Debian: apt-get install python3 python3-venv; or uv python install 3.11) or pass `--python PATH`")
                .into()
        },
    )
}

/// The interpreter's own path, if it runs and has a locked version; shims of version managers are
/// resolved.
fn suitable_python(program: &OsStr, versions: &[&str]) -> Option<PathBuf> {
    let ask = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
    let output = Command::new(program)
        .args(["-I", "-c", ask])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (version, executable) = text.trim().split_once('\n')?;
    versions.contains(&version).then(|| PathBuf::from(executable))
}
