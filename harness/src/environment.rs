//! Where things are on this machine: simulator environments, the worker, the adapters.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use crate::exit::Refused;

/// A Python environment that `setup` makes.
#[derive(Debug)]
pub struct PythonEnvironment {
    /// Its name; benchmarks may share one.
    pub name: &'static str,
    /// The lock file: every package with version and hash.
    pub lock: &'static str,
    /// Pythons that the packages are locked for, the preferred one first.
    pub versions: &'static [&'static str],
    /// Modules that an environment has to import to be ready.
    pub imports: &'static [&'static str],
    /// Size of the download.
    pub megabytes: u16,
}

/// The folder for environments: `UDVLA_HOME`, else the user's data folder.
///
/// # Errors
/// When neither it nor a home folder is known.
pub fn home() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = || {
        variable("XDG_DATA_HOME")
            .map(PathBuf::from)
            // Without `HOME` this is the folder of the system's list of users.
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
            .map(|folder| folder.join("udvla-eval"))
    };
    variable("UDVLA_HOME").map(PathBuf::from).or_else(data).ok_or_else(|| {
        Refused::new("no folder for simulator environments: the user has no home folder")
            .hint("set `UDVLA_HOME`")
            .into()
    })
}

/// The folder of an environment. Its name holds the lock file's hash, so a build never uses an
/// environment made from another lock file.
///
/// # Errors
/// As [`home`].
pub fn folder(environment: &PythonEnvironment) -> Result<PathBuf> {
    let hash = hex(&Sha256::digest(environment.lock.as_bytes()));
    Ok(home()?.join("envs").join(format!("{}-{}", environment.name, &hash[..8])))
}

/// The absolute path of a simulator's Python: the given one, else what `setup` made.
///
/// # Errors
/// [`Refused`] when there is none.
pub fn python(environment: &PythonEnvironment, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        if !path.exists() {
            let text = format!("there is no Python at `{}`", path.display());
            return Err(Refused::new(text)
                .hint("pass `--python ENVIRONMENT/bin/python`, or leave it out to use the one that `udvla-eval setup` made")
                .into());
        }
        // Links stay: a virtual environment's Python is one, and finds its packages by its own path.
        return Ok(std::path::absolute(path)?);
    }
    let name = environment.name;
    let path = std::path::absolute(folder(environment)?.join("bin/python"))?;
    if let (Ok(base), false) = (std::fs::read_link(&path), path.exists()) {
        let text = "the Python that it was made with is gone";
        let text = format!("the environment of {name} does not run: {text} (`{}`)", base.display());
        return Err(Refused::new(text)
            .hint(format!("`udvla-eval setup {name}` makes it again"))
            .into());
    }
    if !path.exists() {
        return Err(Refused::new(format!("{name} has no Python environment yet"))
            .hint(format!("udvla-eval setup {name}"))
            .into());
    }
    Ok(path)
}

/// Where an installed program has the others, in the folder that it was installed into.
const PROGRAMS: &str = "libexec/udvla-eval";
/// And the adapters.
const ADAPTERS: &str = "share/udvla-eval/python";
/// Names of the checkpoints that come with it: for LIBERO's own assets, and for stand-ins.
pub const OWN_CHECKPOINTS: [&str; 2] = ["udvla-nano", "udvla-nano-stand-ins"];
/// And their place.
#[cfg(feature = "torch")]
const CHECKPOINTS: &str = "share/udvla-eval";

/// The folder that this program was installed into: the environment's, for one that came as a
/// package; `None` for a build in a source tree.
pub fn prefix() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let mut folders = here.ancestors().skip(2).take(2);
    folders.find(|folder| folder.join(ADAPTERS).is_dir()).map(Path::to_owned)
}

/// The script that installs Mesa's software driver, as it is typed here.
pub fn lavapipe_script() -> String {
    let installed = prefix().map(|prefix| prefix.join("share/udvla-eval/lavapipe"));
    installed.map_or("scripts/lavapipe".into(), |path| path.display().to_string())
}

/// The worker executable of this build.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn worker() -> Result<PathBuf> {
    beside("udvla-sim-worker")
}

/// A file of the same build: beside this executable, or where the package has its programs.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn beside(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    // Test executables live one folder deeper.
    let beside = [here.parent(), here.parent().and_then(Path::parent)];
    let folders = beside.into_iter().flatten().map(Path::to_owned);
    let mut found =
        folders.chain(prefix().map(|prefix| prefix.join(PROGRAMS))).map(|folder| folder.join(name));
    found.find(|path| path.exists()).ok_or_else(|| {
        let text = format!("`{name}` is not beside `{}`", here.display());
        let hint = match prefix() {
            Some(_) => "install the package `udvla-eval` again: a part of it is missing",
            None => "build everything with `cargo build --release --workspace`",
        };
        Refused::new(text).hint(hint).into()
    })
}

/// Whether a program is of this build: in the folder of this executable, or where the package has
/// its programs.
pub fn is_beside(program: &Path) -> bool {
    let folder = |path: PathBuf| Some(path.canonicalize().ok()?.parent()?.to_owned());
    let here = std::env::current_exe().ok().and_then(folder);
    let installed = prefix().and_then(|prefix| prefix.join(PROGRAMS).canonicalize().ok());
    let found = folder(program.to_owned());
    found.is_some() && (found == here || found == installed)
}

/// The folder that holds the Python package `udvla_sims`.
///
/// # Errors
/// [`Refused`] when it is not there.
pub fn adapters() -> Result<PathBuf> {
    // Absolute, for workers run in folders of their own.
    let given = std::env::var_os("UDVLA_ADAPTERS").map(std::path::absolute).transpose()?;
    // The sources that it was built from may be there too, and another version by now.
    let built_in = match prefix() {
        Some(prefix) => prefix.join(ADAPTERS),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/python"),
    };
    let mut folders = given.into_iter().chain([built_in]);
    folders.find(|folder| folder.join("udvla_sims/adapter.py").exists()).ok_or_else(|| {
        Refused::new("the simulator adapters (Python package `udvla_sims`) are not installed")
            .hint("set `UDVLA_ADAPTERS` to the folder `sims/python` of the source tree")
            .into()
    })
}

/// The folder of a checkpoint that comes with the program.
///
/// # Errors
/// [`Refused`] when it is not there.
#[cfg(feature = "torch")]
pub fn own_checkpoint(name: &str) -> Result<PathBuf, Refused> {
    let folder = match prefix() {
        Some(prefix) => prefix.join(CHECKPOINTS),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/nano"),
    };
    let folder = folder.join(name);
    if folder.join("checkpoint.json").exists() {
        return Ok(folder);
    }
    let text = format!("the checkpoint `{name}` is not at `{}`", folder.display());
    Err(Refused::new(text).hint("install this version again, or pass the folder of a checkpoint"))
}

/// Digest of the adapters' sources, to distinguish runs of different adapters.
///
/// The first 16 hexadecimal digits of SHA-256 over every `.py` file below the package `udvla_sims`
/// in `folder`: its path relative to the package, then its content, sorted by path.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn adapters_digest(folder: &Path) -> Result<String> {
    let package = folder.join("udvla_sims");
    let mut folders = vec![package.clone()];
    let mut files = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        hash.update(path.strip_prefix(&package)?.as_os_str().as_encoded_bytes());
        hash.update(std::fs::read(&path)?);
    }
    Ok(hex(&hash.finalize())[..16].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_sub_packages_and_no_compiled_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join("udvla_sims").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
            adapters_digest(folder.path()).unwrap()
        };
        write("adapter.py", "contract");
        let first = write("libero/tasks.py", "a");
        let changed = write("libero/tasks.py", "b");
        assert_ne!(first, changed);
        assert_ne!(changed, write("calvin/tasks.py", ""));
        std::fs::remove_dir_all(folder.path().join("udvla_sims/calvin")).unwrap();
        assert_eq!(changed, write("libero/__pycache__/tasks.cpython-311.pyc", "compiled"));
        std::fs::remove_file(folder.path().join("udvla_sims/libero/tasks.py")).unwrap();
        assert_ne!(changed, write("simpler/tasks.py", "b"), "the path counts");
    }
}
