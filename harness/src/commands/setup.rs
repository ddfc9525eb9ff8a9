//! `setup`: a simulator's Python environment from its lock file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::lavapipe;
use crate::cli::Benchmark;
use crate::cli::SimplerRenderer;
use crate::environment::{self, CALVIN_LOCK, LIBERO_LOCK, SIMPLER_LOCK};
use crate::exit::{Exit, Refused};
use crate::vulkan;

/// An environment that can be made.
struct Recipe {
    name: &'static str,
    lock: &'static str,
    /// Pythons that the packages are locked for, the preferred one first.
    versions: &'static [&'static str],
    /// About how much is downloaded.
    megabytes: u16,
    /// What the user has to bring, where it is not a package.
    next: Option<&'static str>,
}

/// Makes the environment, unless the same one is there already, and for SimplerEnv the driver
/// that draws where there is no graphics card.
///
/// # Errors
/// [`Refused`] when no fitting Python is found or packages cannot be installed.
pub fn run(benchmark: Benchmark, python: Option<&Path>) -> Result<Exit> {
    let recipe = recipe(benchmark);
    let made = make(&recipe, python)?;
    if benchmark == Benchmark::Simpler
        && let Err(error) = lavapipe::provide()
    {
        // The expert and tests of states run without a driver: everything else is ready.
        eprintln!("note: nothing can be drawn yet: {error}");
        if let Some(hint) = error.downcast_ref::<Refused>().and_then(Refused::next_step) {
            eprintln!("note: {hint}");
        }
    }
    if let Some(next) = recipe.next.filter(|_| made) {
        eprintln!("\nhint: {next}");
    }
    Ok(Exit::Complete)
}

/// Makes the environment; false where it was there already.
fn make(recipe: &Recipe, python: Option<&Path>) -> Result<bool> {
    let (name, versions) = (recipe.name, recipe.versions);
    let folder = environment::folder(name, recipe.lock)?;
    if folder.join("bin/python").exists() {
        eprintln!("{name}: ready in {}", folder.display());
        return Ok(false);
    }
    let python = match python {
        Some(path) => fitting(path.as_os_str(), versions).ok_or_else(|| {
            Refused::new(format!("`{}` is no Python {}", path.display(), versions.join(", ")))
                .hint("leave `--python` out to take the first one on PATH")
        })?,
        None => find(versions)?,
    };
    eprintln!("{name}: making {} with {}", folder.display(), python.display());
    // Built beside its final name: what stands there is always whole.
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_dir_all(&part);
    let made = install(&python, &part, recipe);
    if made.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    made?;
    match fs::rename(&part, &folder) {
        // Another process made the same environment in the meantime.
        Err(_) if folder.join("bin/python").exists() => drop(fs::remove_dir_all(&part)),
        renamed => renamed.with_context(|| format!("cannot make `{}`", folder.display()))?,
    }
    eprintln!("{name}: ready in {}", folder.display());
    Ok(true)
}

/// Prints the path of the environment's Python.
///
/// # Errors
/// [`Refused`] when the environment has not been made.
pub fn print(benchmark: Benchmark) -> Result<Exit> {
    let Recipe { name, lock, .. } = recipe(benchmark);
    println!("{}", environment::python(name, lock, None)?.display());
    Ok(Exit::Complete)
}

/// Prints the environment variables that a benchmark's workers are started with.
///
/// # Errors
/// When the folder for environments is not known or cannot be written.
pub fn print_variables(benchmark: Benchmark) -> Result<Exit> {
    let variables = match benchmark {
        Benchmark::Libero | Benchmark::Calvin => BTreeMap::new(),
        Benchmark::Simpler => vulkan::choose(SimplerRenderer::Auto)?.variables,
    };
    for (name, value) in variables {
        println!("{name}={value}");
    }
    Ok(Exit::Complete)
}

fn recipe(benchmark: Benchmark) -> Recipe {
    match benchmark {
        Benchmark::Libero => Recipe {
            name: "libero",
            lock: LIBERO_LOCK,
            versions: &["3.11", "3.10", "3.12"],
            megabytes: 450,
            next: None,
        },
        // pybullet has no wheels for later Pythons.
        Benchmark::Calvin => Recipe {
            name: "calvin",
            lock: CALVIN_LOCK,
            versions: &["3.11", "3.10"],
            megabytes: 170,
            next: Some(
                "the scene's files come from CALVIN itself: git clone --recurse-submodules https://github.com/mees/calvin, then pass `--calvin-root calvin`",
            ),
        },
        // SAPIEN 2.2.2 has no wheels for later Pythons.
        Benchmark::Simpler => Recipe {
            name: "simpler",
            lock: SIMPLER_LOCK,
            versions: &["3.11", "3.10"],
            megabytes: 200,
            next: Some(
                "the scenes' files come from SimplerEnv's repository: git clone https://github.com/simpler-env/ManiSkill2_real2sim, then pass `--simpler-root ManiSkill2_real2sim`",
            ),
        },
    }
}

fn install(python: &Path, folder: &Path, recipe: &Recipe) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let venv = [OsStr::new("-m"), OsStr::new("venv"), folder.as_os_str()];
    call(python, &venv, "on Debian and Ubuntu: apt-get install python3-venv")?;
    let file = folder.join("requirements.lock");
    fs::write(&file, recipe.lock)?;
    let words = ["-m", "pip", "install", "--no-deps", "--require-hashes", "--no-input"];
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    let progress = ["--disable-pip-version-check", "--quiet", "-r"];
    arguments.extend(progress.iter().map(OsStr::new));
    arguments.push(file.as_os_str());
    let size = recipe.megabytes;
    let hint = format!("a package index must be reachable; about {size} MB are downloaded");
    call(&folder.join("bin/python"), &arguments, &hint)
}

fn call(program: &Path, arguments: &[&OsStr], hint: &str) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{}`", program.display()))?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let text = format!("`{} {}` failed ({status})", program.display(), words.join(" "));
    Err(Refused::new(text).hint(hint).into())
}

/// The first fitting Python on PATH.
fn find(versions: &[&str]) -> Result<PathBuf> {
    let names = versions.iter().map(|version| format!("python{version}"));
    names.chain(["python3".to_owned()]).find_map(|name| fitting(OsStr::new(&name), versions)).ok_or_else(
        || {
            Refused::new(format!("no Python {} on PATH", versions.join(", ")))
                .hint("install one (Debian: apt-get install python3 python3-venv; or uv python install 3.11) or pass `--python PATH`")
                .into()
        },
    )
}

/// The interpreter's own path, if it runs and has a locked version. Launchers that stand for
/// an interpreter (version managers' shims) are seen through.
fn fitting(program: &OsStr, versions: &[&str]) -> Option<PathBuf> {
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
