//! `setup`: a simulator's Python environment from its lock file, or its files from their authors.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::assets::{self, Origin};
use crate::benchmarks::{self, Benchmark, Choices};
use crate::cli::SetupArguments;
use crate::environment::{self, PythonEnvironment};
use crate::exit::{Exit, Refused};
use crate::installer;
use crate::platform;

/// Makes a benchmark's environment unless it exists, fetches its files, or prints what was asked
/// for.
///
/// # Errors
/// [`Refused`] when no suitable Python is found, packages cannot be installed, or files cannot be
/// fetched.
pub fn run(arguments: &SetupArguments) -> Result<Exit> {
    let benchmark = benchmarks::find(&arguments.benchmark).context("the command line checks it")?;
    let recipe = benchmark.facts().environment;
    if arguments.print {
        println!("{}", environment::python(recipe, None)?.display());
    } else if arguments.print_variables {
        print_variables(benchmark)?;
    } else if arguments.assets {
        fetch(benchmark, arguments.from.as_deref())?;
    } else {
        platform::check()?;
        if make(recipe, arguments.python.as_deref())?
            && let Some(hint) = benchmark.after_setup()
        {
            eprintln!("\nhint: {hint}");
        }
    }
    Ok(Exit::Complete)
}

/// Brings the simulator's own files into the data folder.
fn fetch(benchmark: &dyn Benchmark, from: Option<&str>) -> Result<()> {
    let name = benchmark.name();
    let catalog = benchmark
        .facts()
        .assets
        .ok_or_else(|| Refused::new(format!("`{name}` has no files to fetch")))?(
    );
    let origin = match from {
        Some(text) => Origin::named(text, &catalog),
        None => Origin::Repository(catalog.repository.clone()),
    };
    assets::fetch(&catalog, name, &origin).map(drop)
}

/// Makes the environment; false if it existed already.
fn make(recipe: &PythonEnvironment, python: Option<&Path>) -> Result<bool> {
    let name = recipe.name;
    let folder = environment::folder(recipe)?;
    if folder.symlink_metadata().is_ok() {
        let Some(fault) = installer::fault(&folder, recipe) else {
            eprintln!("{name}: ready in {}", folder.display());
            return Ok(false);
        };
        eprintln!("{name}: the environment is broken and is made again: {fault}");
    }
    let python = match python {
        Some(path) => chosen_python(path, recipe)?,
        None => find(recipe)?,
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

/// The interpreter that the user names.
fn chosen_python(path: &Path, recipe: &PythonEnvironment) -> Result<PathBuf> {
    let PythonEnvironment { name, versions, .. } = recipe;
    let shown = path.display();
    let hint = "leave `--python` out to take the first suitable one on PATH; `uv python install 3.11` fetches one";
    let Some((version, executable)) = ask(path.as_os_str()) else {
        return Err(Refused::new(format!("`{shown}` is no Python that runs")).hint(hint).into());
    };
    if !versions.contains(&version.as_str()) {
        let text = format!(
            "`{shown}` is Python {version}, and the packages of {name} exist for Python {} alone",
            versions.join(", ")
        );
        return Err(Refused::new(text).hint(hint).into());
    }
    Ok(executable)
}

/// The first suitable Python on PATH.
fn find(recipe: &PythonEnvironment) -> Result<PathBuf> {
    let PythonEnvironment { name, versions, .. } = recipe;
    let exact = versions.iter().map(|version| format!("python{version}"));
    let mut others = vec![];
    for program in exact.chain(["python3".to_owned()]) {
        match ask(OsStr::new(&program)) {
            Some((version, executable)) if versions.contains(&version.as_str()) => {
                return Ok(executable);
            }
            Some((version, _)) => others.push(version),
            None => {}
        }
    }
    let found = others.first().map_or(String::new(), |version| format!(", only Python {version}"));
    let text = format!(
        "no Python {} on PATH{found}; the packages of {name} exist for no other",
        versions.join(", ")
    );
    Err(Refused::new(text)
        .hint("install one (Debian: apt-get install python3 python3-venv; or uv python install 3.11) or pass `--python PATH`")
        .into())
}

/// Version (`3.11`) and own path of an interpreter, if it runs; shims of version managers are
/// resolved.
fn ask(program: &OsStr) -> Option<(String, PathBuf)> {
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
    Some((version.to_owned(), PathBuf::from(executable)))
}
