//! The model's code, which needs libtorch: a program has it, or starts the one that has.
//!
//! Loading libtorch takes a quarter of a second and 100 MB, so `udvla-eval` is linked without it:
//! nothing in it refers to the model's code but through [`code`]. `udvla-eval-model` is the same
//! program with that code ([`install`]).

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;
use serde_json::Value;
use udvla_policies::Policy;

use crate::exit::{self, Refused};
use crate::plan::{ModelPlan, UDVLA};
use crate::{environment, output};

/// A policy, once per device.
pub type Replicas = Vec<Box<dyn Policy>>;
/// A part of this machine, and its state or why it does not work.
pub type Fact = (&'static str, Result<String>);

/// Functions that need libtorch.
#[derive(Debug)]
pub struct ModelCode {
    /// Checks checkpoint and devices of a plan; loads nothing.
    pub check: fn(&ModelPlan) -> Result<()>,
    /// Opens a replica per device of a plan; whether images are predicted too.
    pub open: fn(&ModelPlan, bool) -> Result<Replicas>,
    /// Prints digest and devices of a plan; returns the bytes of its weights in this machine's
    /// memory.
    pub describe: fn(&ModelPlan) -> Result<u64>,
    /// What this machine has for a model, by name: libtorch, device, and the checkpoint in a folder.
    pub facts: fn(Option<&Path>) -> Vec<Fact>,
}

static CODE: OnceLock<ModelCode> = OnceLock::new();
/// The variable by which the loader finds libtorch for an installed program: its folder comes first.
const LIBRARIES: &str = "LD_LIBRARY_PATH";
/// Set where a program was started in the place of another.
const MARK: &str = "UDVLA_WITH_MODEL";
/// The program that has the code.
const PROGRAM: &str = "udvla-eval-model";
/// The version of libtorch is the one that the build uses.
const LOCK: &str = include_str!("../../scripts/libtorch-cpu.lock");

/// Gives this program the model's code. To be called first, while there is one thread.
pub fn install(code: ModelCode) {
    // A second one would be the same.
    let _ = CODE.set(code);
    // SAFETY: no other thread runs yet.
    unsafe { std::env::remove_var(MARK) };
    // The loader has read it. What this program starts shall not find libtorch's libraries by it.
    let folders = std::env::var_os(LIBRARIES).filter(|_| environment::prefix().is_some());
    let Some(folders) = folders else { return };
    let others = std::env::join_paths(std::env::split_paths(&folders).skip(1)).unwrap_or_default();
    // SAFETY: no other thread runs yet.
    unsafe {
        match others.is_empty() {
            true => std::env::remove_var(LIBRARIES),
            false => std::env::set_var(LIBRARIES, others),
        }
    }
}

/// The model's code. A program without it is replaced by the one that has it, with the same
/// arguments; so this is first called before anything is written, printed or started.
///
/// # Errors
/// [`Refused`] when that program, or libtorch, is not there.
pub fn code() -> Result<&'static ModelCode, Refused> {
    match CODE.get() {
        Some(code) => Ok(code),
        None => Err(become_program()),
    }
}

/// Whether the plan in a run directory, or in the first of a session with two policies, names the
/// model; false where there is none to be read.
pub fn is_of_run(directory: &Path) -> bool {
    ["run.json", "1/run.json"].iter().any(|file| {
        let text = std::fs::read_to_string(directory.join(file)).unwrap_or_default();
        let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
        has_model(&manifest["resolved"])
    })
}

fn has_model(plan: &Value) -> bool {
    match plan {
        Value::Object(parts) => plan["kind"] == UDVLA || parts.values().any(has_model),
        Value::Array(parts) => parts.iter().any(has_model),
        _ => false,
    }
}

/// Replaces this process; returns only if that is not possible.
fn become_program() -> Refused {
    let mut command = match program() {
        Ok(command) => command,
        Err(refused) => return refused,
    };
    let mut words = std::env::args_os();
    command.arg0(words.next().unwrap_or_else(|| "udvla-eval".into())).args(words);
    output::flush();
    let error = command.exec();
    Refused::new(format!("cannot start `{}`", command.get_program().display())).because(error)
}

fn program() -> Result<Command, Refused> {
    if std::env::var_os(MARK).is_some() {
        return Err(Refused::new(format!("`{PROGRAM}` is not the program with the model"))
            .hint("install or build all parts again"));
    }
    let path = environment::beside(PROGRAM).map_err(|error| {
        let hint = exit::texts(&error).1;
        let text = "the part of the program with the model is not there";
        Refused::new(text).because(error).maybe_hint(hint)
    })?;
    let mut command = Command::new(path);
    command.env(MARK, "1");
    // From a source tree it knows where its libtorch is.
    if let Some(prefix) = environment::prefix() {
        let before = std::env::var_os(LIBRARIES).unwrap_or_default();
        let before = std::env::split_paths(&before).filter(|folder| !folder.as_os_str().is_empty());
        let folders = [libtorch(&prefix, std::env::var_os("LIBTORCH"))?].into_iter().chain(before);
        let folders: OsString = std::env::join_paths(folders)
            .map_err(|error| Refused::new("the path of libtorch cannot be used").because(error))?;
        command.env(LIBRARIES, folders);
    }
    Ok(command)
}

/// The folder with libtorch's libraries for a program that is installed in `prefix`: in the `given`
/// package (the variable `LIBTORCH`), else of the package `torch` in the same environment.
fn libtorch(prefix: &Path, given: Option<OsString>) -> Result<PathBuf, Refused> {
    let wanted = wanted();
    let python = prefix.join("bin/python");
    let install = match prefix.join("bin/pip").exists() {
        true => format!("{} -m pip install torch=={wanted}", python.display()),
        // An environment of uv.
        false => format!("uv pip install --python {} torch=={wanted}", python.display()),
    };
    let has_library = |torch: &PathBuf| torch.join("lib/libtorch_cpu.so").exists();
    let given = given.filter(|given| !given.is_empty()).map(PathBuf::from);
    if let Some(given) = given.as_ref().filter(|given| !has_library(given)) {
        let text = format!("LIBTORCH is `{}`, which has no lib/libtorch_cpu.so", given.display());
        return Err(
            Refused::new(text).hint("unset it to use the package `torch` of the environment")
        );
    }
    let Some(torch) = given.into_iter().chain(packages(prefix)).find(has_library) else {
        let text = format!(
            "libtorch (the package `torch` {wanted}) is not installed in `{}`",
            prefix.display()
        );
        return Err(Refused::new(text).hint(install));
    };
    match version_of(&torch) {
        Some(found) if found != wanted => {
            let text =
                format!("`{}` is torch {found}, this program needs {wanted}", torch.display());
            Err(Refused::new(text).hint(install))
        }
        _ => Ok(torch.join("lib")),
    }
}

/// Where the Pythons of `prefix` have a package `torch`.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let libraries = ["lib", "lib64"].map(|name| prefix.join(name));
    let pythons = libraries.into_iter().flat_map(below).map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3"))
    });
    let mut pythons: Vec<PathBuf> = pythons.collect();
    pythons.sort();
    let kinds = ["site-packages/torch", "dist-packages/torch"];
    pythons.iter().flat_map(|python| kinds.map(|kind| python.join(kind))).collect()
}

/// The version of a package `torch`, without what comes after a plus sign; `None` if it does not say.
fn version_of(torch: &Path) -> Option<String> {
    let text = std::fs::read_to_string(torch.join("version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    let version = line.trim_matches(['\'', '"']);
    Some(version.split('+').next().unwrap_or(version).to_owned())
}

/// The version that this program was built with.
fn wanted() -> &'static str {
    let line = LOCK.lines().find_map(|line| line.strip_prefix("torch=="));
    line.and_then(|rest| rest.split([' ', '\\']).next()).unwrap_or("of the lock file")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a package `torch` of this version in the environment of a Python.
    fn prefix_with(version: &str) -> tempfile::TempDir {
        let prefix = tempfile::tempdir().unwrap();
        let torch = prefix.path().join("lib/python3.11/site-packages/torch");
        std::fs::create_dir_all(torch.join("lib")).unwrap();
        std::fs::write(torch.join("lib/libtorch_cpu.so"), "").unwrap();
        std::fs::write(torch.join("version.py"), format!("__version__ = '{version}'\n")).unwrap();
        prefix
    }

    #[test]
    fn libtorch_is_the_package_of_the_same_environment_in_the_version_of_the_build() {
        let version = wanted();
        assert_eq!(version.split('.').count(), 3, "{version}");
        for build in [version.to_owned(), format!("{version}+cu130")] {
            let prefix = prefix_with(&build);
            let found = libtorch(prefix.path(), None).unwrap();
            assert!(found.ends_with("python3.11/site-packages/torch/lib"), "{}", found.display());
            let torch = prefix.path().join("lib/python3.11/site-packages/torch");
            let empty = tempfile::tempdir().unwrap();
            assert_eq!(libtorch(empty.path(), Some(torch.into())).unwrap(), found);
            let refused = libtorch(prefix.path(), Some("/nonsense".into())).unwrap_err();
            assert!(refused.to_string().contains("LIBTORCH is `/nonsense`"), "{refused}");
        }
    }

    #[test]
    fn another_version_or_none_is_refused_with_the_command_to_type() {
        let empty = tempfile::tempdir().unwrap();
        for (prefix, part) in [(prefix_with("1.0.0+cpu"), "torch 1.0.0"), (empty, "not installed")]
        {
            let refused = libtorch(prefix.path(), None).unwrap_err();
            assert!(refused.to_string().contains(part), "{refused}");
            let hint = refused.next_step().unwrap();
            assert!(hint.starts_with("uv pip install --python "), "{hint}");
            assert!(hint.ends_with(&format!("bin/python torch=={}", wanted())), "{hint}");
        }
    }

    #[test]
    fn a_run_of_the_model_is_known_by_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_of_run(folder.path()), "no manifest");
        for (text, expected) in [
            (r#"{"resolved": {"policy": {"kind": "udvla"}}}"#, true),
            (r#"{"resolved": {"real": {"robot": {"policies": [{"kind": "udvla"}]}}}}"#, true),
            (r#"{"resolved": {"policy": {"kind": "weightless", "name": "udvla"}}}"#, false),
            ("half a manif", false),
        ] {
            std::fs::write(folder.path().join("run.json"), text).unwrap();
            assert_eq!(is_of_run(folder.path()), expected, "{text}");
        }
    }
}
