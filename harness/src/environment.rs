//! Where things are on this machine: simulator environments, the worker, the adapters.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use crate::exit::Refused;

/// The lock file of LIBERO's environment: every package with its version and hash.
pub const LIBERO_LOCK: &str = include_str!("../../sims/python/libero.lock");

/// The lock file of CALVIN's environment.
pub const CALVIN_LOCK: &str = include_str!("../../sims/python/calvin.lock");

/// The lock file of SimplerEnv's environment.
pub const SIMPLER_LOCK: &str = include_str!("../../sims/python/simpler.lock");

/// The folder for environments: `UDVLA_HOME`, else the user's data folder.
///
/// # Errors
/// When neither it nor a home folder is known.
pub fn home() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = || {
        variable("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/share")))
            .map(|folder| folder.join("udvla-eval"))
    };
    variable("UDVLA_HOME").map(PathBuf::from).or_else(data).ok_or_else(|| {
        Refused::new("no folder for simulator environments: `HOME` is not set")
            .hint("set `UDVLA_HOME`")
            .into()
    })
}

/// The folder of a benchmark's environment. It carries the lock file's hash, so a build never
/// meets an environment that another lock file made.
///
/// # Errors
/// As [`home`].
pub fn folder(benchmark: &str, lock: &str) -> Result<PathBuf> {
    let hash = hex(&Sha256::digest(lock.as_bytes()));
    Ok(home()?.join("envs").join(format!("{benchmark}-{}", &hash[..8])))
}

/// The Python of a benchmark's environment: the given one, else what `setup` made.
///
/// # Errors
/// [`Refused`] when there is none.
pub fn python(benchmark: &str, lock: &str, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        if !path.exists() {
            let text = format!("there is no Python at `{}`", path.display());
            return Err(Refused::new(text)
                .hint("pass `--python ENVIRONMENT/bin/python`, or leave it out to use the one that `udvla-eval setup` made")
                .into());
        }
        return Ok(path.to_owned());
    }
    let path = folder(benchmark, lock)?.join("bin/python");
    if !path.exists() {
        return Err(Refused::new(format!("{benchmark} has no Python environment yet"))
            .hint(format!("udvla-eval setup {benchmark}"))
            .into());
    }
    Ok(path)
}

/// The worker executable beside this one.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn worker() -> Result<PathBuf> {
    beside("udvla-sim-worker")
}

/// A file of the same build, beside this executable.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn beside(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    // Test executables live one folder deeper.
    let beside = [here.parent(), here.parent().and_then(Path::parent)];
    let found = beside.into_iter().flatten().map(|folder| folder.join(name));
    found.into_iter().find(|path| path.exists()).ok_or_else(|| {
        let text = format!("`{name}` is not beside `{}`", here.display());
        Refused::new(text).hint("build everything with `cargo build --release --workspace`").into()
    })
}

/// The folder that holds the Python package `udvla_sims`.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn adapters() -> Result<PathBuf> {
    let given = std::env::var_os("UDVLA_ADAPTERS").map(PathBuf::from);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/python");
    let installed = std::env::current_exe()?.with_file_name("../share/udvla-eval/python");
    let mut folders = given.into_iter().chain([source, installed]);
    folders.find(|folder| folder.join("udvla_sims/adapter.py").exists()).ok_or_else(|| {
        Refused::new("the simulator adapters (Python package `udvla_sims`) are not installed")
            .hint("set `UDVLA_ADAPTERS` to the folder `sims/python` of the source tree")
            .into()
    })
}

/// SHA-256 over the adapters' sources, so that two runs of different adapters are told apart.
///
/// # Errors
/// When the folder cannot be read.
pub fn adapters_digest(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("udvla_sims"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(std::fs::read(&path)?);
    }
    Ok(hex(&hash.finalize())[..16].to_owned())
}
