//! Installs packages into a simulator's environment, and says whether one is ready.
//!
//! An install depends on the lock file and on where packages come from, on nothing else: of the
//! user's pip configuration (variables and files) only index, proxy, certificate, cache and time
//! limits are used. A constraint of another project, `user = true` or a target folder would leave
//! an environment empty or with other versions.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::environment::PythonEnvironment;
use crate::exit::Refused;
use crate::locked;

/// Settings of pip that say where packages come from and how they are reached.
const KEPT: [&str; 16] = [
    "index-url",
    "extra-index-url",
    "no-index",
    "find-links",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "use-feature",
    "use-deprecated",
    "keyring-provider",
    "cache-dir",
    "no-cache-dir",
    "timeout",
    "default-timeout",
    "retries",
];

/// Prints a line `NAME==VERSION` per installed package, then imports each module of its arguments. In
/// that order: `pkg_resources` adds a folder with other versions to the path.
const CHECK: &str = "
import importlib, importlib.metadata, sys
for package in importlib.metadata.distributions():
    print(package.metadata['Name'].lower().replace('_', '-') + '==' + package.version)
for name in sys.argv[1:]:
    importlib.import_module(name)
";

/// Why an environment cannot be used; `None` if all locked packages are there and import.
pub fn fault(folder: &Path, recipe: &PythonEnvironment) -> Option<String> {
    let python = folder.join("bin/python");
    if !python.exists() {
        let gone =
            fs::read_link(&python).ok().map(|base| format!("; `{}` is gone", base.display()));
        return Some(format!("it has no Python{}", gone.unwrap_or_default()));
    }
    let words = [&["-I", "-c", CHECK][..], recipe.imports].concat();
    let output = clean(&python).args(words).output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Some(last_line(&output.stderr)),
        Err(error) => return Some(format!("`{}` does not run: {error}", python.display())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let installed: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("==")).collect();
    match version(&python) {
        Some(version) => locked::missing(recipe.lock, &installed, &version),
        None => Some(format!("`{}` does not tell its version", python.display())),
    }
}

/// Installs the locked packages into the virtual environment in `folder`.
///
/// # Errors
/// [`Refused`] when pip fails.
pub fn install(folder: &Path, recipe: &PythonEnvironment) -> Result<()> {
    let file = folder.join("requirements.lock");
    fs::write(&file, recipe.lock).with_context(|| format!("cannot write `{}`", file.display()))?;
    let python = folder.join("bin/python");
    let mut pip = clean(&python);
    pip.envs(sources(&python)).env("PIP_CONFIG_FILE", "/dev/null");
    pip.args(["-I", "-m", "pip", "install", "--no-deps", "--require-hashes", "--no-input"]);
    pip.args(["--disable-pip-version-check", "--quiet", "-r"]).arg(&file);
    let size = recipe.megabytes;
    call(&mut pip, &format!("a package index must be reachable; about {size} MB are downloaded"))
}

/// Makes a virtual environment.
///
/// # Errors
/// [`Refused`] when the interpreter cannot.
pub fn make_venv(python: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let mut venv = clean(python);
    // Its pip comes from the interpreter itself.
    venv.env("PIP_CONFIG_FILE", "/dev/null").args(["-I", "-m", "venv"]).arg(folder);
    call(&mut venv, "on Debian and Ubuntu: apt-get install python3-venv")
}

/// Puts a complete environment in its place, instead of a broken one.
///
/// # Errors
/// When folders cannot be renamed.
pub fn put_in_place(part: &Path, folder: &Path, recipe: &PythonEnvironment) -> Result<()> {
    if fs::rename(part, folder).is_ok() {
        return Ok(());
    }
    if fault(folder, recipe).is_none() {
        // Another process made the same environment in the meantime.
        return fs::remove_dir_all(part).context("cannot remove an environment made twice");
    }
    let aside = PathBuf::from(format!("{}.broken", part.display()));
    fs::rename(folder, &aside)
        .and_then(|()| fs::rename(part, folder))
        .with_context(|| format!("cannot replace `{}`", folder.display()))?;
    // What is left of it harms nothing.
    let _ = fs::remove_dir_all(&aside);
    Ok(())
}

/// A command without the variables that change what Python or an installer does.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    let foreign = ["PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "CONDA_"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if foreign.iter().any(|beginning| text.starts_with(beginning)) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The user's pip settings of [`KEPT`], as variables: from pip's files, then from the shell.
fn sources(python: &Path) -> BTreeMap<String, String> {
    let mut list = clean(python);
    let file = std::env::var_os("PIP_CONFIG_FILE");
    list.envs(file.map(|file| ("PIP_CONFIG_FILE", file)));
    // A pip that cannot read its files has no settings there; the install then says what it lacks.
    let output = list.args(["-I", "-m", "pip", "config", "list"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut variables = listed(&text.unwrap_or_default());
    let shell = KEPT.iter().map(|setting| variable(setting));
    let shell = shell.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    variables.extend(shell.filter(|(_, value)| !value.is_empty()));
    variables
}

/// The settings of [`KEPT`] in the output of `pip config list`; those of `install` win.
fn listed(text: &str) -> BTreeMap<String, String> {
    let mut lines: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once('=')).collect();
    lines.sort_by_key(|(name, _)| name.starts_with("install."));
    let setting = |(name, value): (&str, &str)| {
        let (section, key) = name.split_once('.')?;
        let known = KEPT.contains(&key) && ["global", "install"].contains(&section);
        // The value as Python writes a string; several are separated by white space.
        let value = value.trim().trim_matches(['\'', '"']).replace("\\n", " ");
        known.then(|| (variable(key), value.trim().to_owned()))
    };
    lines.into_iter().filter_map(setting).collect()
}

/// The name of the variable for a setting.
fn variable(setting: &str) -> String {
    format!("PIP_{}", setting.to_uppercase().replace('-', "_"))
}

fn version(python: &Path) -> Option<String> {
    let ask = "import platform; print(platform.python_version())";
    let output = clean(python).args(["-I", "-c", ask]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn call(command: &mut Command, hint: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("cannot run `{}`", program.to_string_lossy()))?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let text = format!("`{} {}` failed ({status})", program.to_string_lossy(), words.join(" "));
    Err(Refused::new(text).hint(hint).into())
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it fails").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_pips_files_only_sources_are_kept_and_the_install_section_wins() {
        let text = "\
global.constraint='/etc/pip/constraint.txt'
global.index-url='https://one.example/simple'
global.user='true'
install.extra-index-url='\\nhttps://two.example/a\\nhttps://two.example/b'
install.index-url='https://three.example/simple'
install.target='/opt/packages'
list.format='columns'
";
        let found = listed(text);
        assert_eq!(
            found,
            BTreeMap::from([
                (
                    "PIP_EXTRA_INDEX_URL".into(),
                    "https://two.example/a https://two.example/b".into()
                ),
                ("PIP_INDEX_URL".into(), "https://three.example/simple".into()),
            ])
        );
    }

    #[test]
    fn an_environment_whose_base_python_is_gone_is_named_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        let recipe = crate::benchmarks::find("toy").unwrap().facts().environment;
        assert_eq!(fault(folder.path(), recipe).unwrap(), "it has no Python");
        let python = folder.path().join("bin/python");
        std::os::unix::fs::symlink("/opt/pyenv/3.11.6/bin/python3.11", python).unwrap();
        let text = fault(folder.path(), recipe).unwrap();
        assert!(text.contains("`/opt/pyenv/3.11.6/bin/python3.11` is gone"), "{text}");
    }
}
