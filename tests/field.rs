//! What a user's machine may hold for other tools changes no result: files in the current folder,
//! variables of the shell, other versions, another configuration of the installer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use udvla_eval::environment;
use udvla_results::run::manifest::Manifest;
use udvla_sims::shell;

use crate::support::{Run, assert_same_outcomes, change_manifest, udvla};
use crate::worker::environment as python;

/// Modules that the worker, numpy or a simulator imports, one of them a package.
const SHADOWED: [&str; 9] = [
    "random.py",
    "json.py",
    "sysconfig.py",
    "faulthandler.py",
    "numpy.py",
    "sitecustomize.py",
    "usercustomize.py",
    "udvla_sims/__init__.py",
    "robosuite/__init__.py",
];

/// A folder whose modules leave a mark and break what imports them.
fn trap() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("imported");
    for name in SHADOWED {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text =
            format!("open({mark:?}, 'a').write('{name}\\n')\nraise RuntimeError('{name}')\n");
        std::fs::write(file, text).unwrap();
    }
    let user = folder.path().join("lib/python3.11/site-packages");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::copy(folder.path().join("usercustomize.py"), user.join("usercustomize.py")).unwrap();
    // numba reads its settings from the current folder.
    std::fs::write(folder.path().join(".numba_config.yaml"), "disable_jit: 1\n").unwrap();
    folder
}

/// The command, started in the trap with a shell full of other tools' variables.
fn trapped(run: &Run, trap: &Path) -> Command {
    let mut command = run.command();
    command.current_dir(trap).envs([
        ("PYTHONPATH", trap.as_os_str()),
        ("PYTHONSTARTUP", trap.join("random.py").as_os_str()),
        ("PYTHONUSERBASE", trap.as_os_str()),
        ("PYTHONHOME", "/nowhere".as_ref()),
        ("PYTHONWARNINGS", "error".as_ref()),
        ("PYTHONOPTIMIZE", "2".as_ref()),
        ("PYTHONHASHSEED", "77".as_ref()),
        ("CUDA_VISIBLE_DEVICES", "3".as_ref()),
        ("MUJOCO_EGL_DEVICE_ID", "0".as_ref()),
        ("MUJOCO_GL", "glfw".as_ref()),
        ("PYOPENGL_PLATFORM", "glx".as_ref()),
        ("EGL_VISIBLE_DEVICES", "5".as_ref()),
        ("OPENBLAS_CORETYPE", "Prescott".as_ref()),
        ("NPY_DISABLE_CPU_FEATURES", "AVX2 FMA3".as_ref()),
        ("NUMBA_DISABLE_JIT", "1".as_ref()),
        ("OMP_NUM_THREADS", "7".as_ref()),
        ("LC_ALL", "C".as_ref()),
    ]);
    command
}

/// Fails unless the trapped run leaves what the calm one left, and nothing was imported.
#[track_caller]
fn assert_not_caught(words: &[&str], form: &str) {
    let calm = Run::new(words);
    let ended = calm.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (trap, run) = (trap(), Run::new(words));
    let output = trapped(&run, trap.path()).env("UDVLA_WORKER_FORM", form).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{form}: {text}");
    let imported = std::fs::read_to_string(trap.path().join("imported")).unwrap_or_default();
    assert_eq!(imported, "", "{form}");
    assert_same_outcomes(&calm.records(), &run.records());
    let setting = |run: &Run| {
        let mut setting = BTreeMap::from(run.manifest().setting);
        setting.remove("embedding");
        setting
    };
    assert_eq!(setting(&calm), setting(&run), "{form}");
}

#[test]
fn folder_and_shell_reach_no_worker() {
    let Some(python) = python() else { return };
    let python = python.display().to_string();
    let words =
        ["toy", "--python", &python, "--no-progress", "--policy", "expert", "--trials", "2"];
    for form in ["embedded", "interpreter"] {
        assert_not_caught(&words, form);
    }
}

#[test]
fn folder_and_shell_do_not_change_a_libero_episode() {
    let Some(python) = python() else { return };
    let python = python.display().to_string();
    let base = ["libero", "--no-progress", "--python", &python, "--assets", "stand-ins"];
    let episodes = ["--policy", "random", "--suite", "object", "--task", "3", "--trials", "1"];
    assert_not_caught(&[&base[..], &episodes].concat(), "embedded");
}

#[test]
fn a_run_names_the_kernels_that_its_simulator_used() {
    let Some(python) = python() else { return };
    let python = python.display().to_string();
    let words =
        ["toy", "--python", &python, "--no-progress", "--policy", "expert", "--trials", "1"];
    let run = Run::new(&words);
    assert_eq!(run.go().code, 0);
    let Manifest { setting, machine, .. } = run.manifest();
    let (blas, numpy) = (&setting.other["blas"], &setting.other["numpy_kernels"]);
    assert!(blas.starts_with("OpenBLAS "), "{blas}");
    if !shell::kernels().is_empty() {
        assert!(blas.ends_with(" Haswell") && !numpy.contains("AVX512"), "{blas}; {numpy}");
    }
    assert!(machine["libc"].starts_with("glibc "), "{machine:?}");
    assert!(!setting.other.contains_key("machine.libc"));
}

/// A finished fake run whose setting was edited.
fn edited(words: &[&str], key: &str, value: &str) -> Run {
    let run = Run::fake(words);
    assert_eq!(run.go().code, 0);
    change_manifest(&run.directory(), |manifest| manifest["setting"][key] = value.into());
    run
}

#[test]
fn runs_of_other_versions_or_kernels_are_neither_resumed_nor_merged() {
    let words = ["--policy", "expert", "--suite", "object", "--trials", "1"];
    for (key, value) in [("mujoco", "3.6.0"), ("blas", "OpenBLAS 0.3.23 SkylakeX")] {
        let run = edited(&words, key, value);
        let ended = run.resume();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("setting.{key}")), "{}", ended.stderr);
        let other = Run::fake(&["--policy", "expert", "--suite", "goal", "--trials", "1"]);
        assert_eq!(other.go().code, 0);
        let [one, two] = [&run, &other].map(|run| run.directory().display().to_string());
        let tables = udvla(&["tables", &one, &two]);
        assert_eq!(tables.code, 0, "{}", tables.stderr);
        let rows = tables.stdout.lines().filter(|line| line.trim().starts_with("* expert")).count();
        assert_eq!(rows, 2, "they are pooled: {}", tables.stdout);
    }
}

/// A simulator's environment without its packages: a folder with a working Python.
fn empty_environment(home: &Path, benchmark: &str) -> Option<PathBuf> {
    let recipe = udvla_eval::benchmarks::find(benchmark).unwrap().facts().environment;
    let base = environment::folder(recipe).unwrap();
    let folder = home.join("envs").join(base.file_name().unwrap());
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    let python = python()?.canonicalize().ok()?;
    std::os::unix::fs::symlink(python, folder.join("bin/python")).unwrap();
    Some(folder)
}

#[test]
fn an_environment_without_its_packages_is_not_called_ready() {
    let home = tempfile::tempdir().unwrap();
    let Some(folder) = empty_environment(home.path(), "libero") else { return };
    let setup = |python: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        // A package index that does not answer: the repair ends with an error.
        command
            .env("UDVLA_HOME", home.path())
            .env("PIP_NO_INDEX", "1")
            .env_remove("PIP_FIND_LINKS");
        let output = command.args(["setup", "libero", "--python", python]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let base = folder.join("bin/python").canonicalize().unwrap().display().to_string();
    let (code, text) = setup(&base);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is broken and is made again") && !text.contains("ready in"), "{text}");
    assert!(folder.exists(), "what was there stays until the new one is complete");
}

#[test]
fn a_run_names_an_environment_whose_base_python_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let Some(folder) = empty_environment(home.path(), "calvin") else { return };
    std::fs::remove_file(folder.join("bin/python")).unwrap();
    std::os::unix::fs::symlink("/opt/pyenv/bin/python3.11", folder.join("bin/python")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    command.env("UDVLA_HOME", home.path()).args(["calvin", "--policy", "idle"]);
    command.args(["--calvin-root", home.path().to_str().unwrap()]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("`/opt/pyenv/bin/python3.11`") && text.contains("setup calvin"),
        "{text}"
    );
}
