//! What a run needs is asked for at once, before a simulator starts.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ended, Run, udvla};

/// A machine on which nothing is set up, and a Python that notes that it was started.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn bare() -> Self {
        let home = tempfile::tempdir().unwrap();
        let python = home.path().join("python");
        std::fs::write(&python, "#!/bin/sh\ntouch \"$0.started\"\nexit 1\n").unwrap();
        std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
        Self { home }
    }

    fn python(&self) -> String {
        self.home.path().join("python").display().to_string()
    }

    fn python_was_started(&self) -> bool {
        self.home.path().join("python.started").exists()
    }

    /// The command on this machine.
    fn go(&self, mut command: Command) -> Ended {
        command.env("HOME", self.home.path()).env("UDVLA_HOME", self.home.path());
        command.env_remove("XDG_DATA_HOME");
        let output = command.output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[track_caller]
fn assert_all(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once_with_its_command() {
    let machine = Machine::bare();
    for (benchmark, assets) in [
        ("libero", "udvla-eval setup libero --assets"),
        ("calvin", "udvla-eval setup calvin --scene"),
        ("simpler", "udvla-eval setup simpler --scene"),
    ] {
        let run = Run::new(&[benchmark, "--policy", "udvla"]);
        let ended = machine.go(run.command());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        let environment = format!("hint: udvla-eval setup {benchmark}\n");
        let text = ended.stderr + "\n";
        assert_all(&text, &["for 3 reasons", "  1. ", "  3. ", assets, &environment]);
        assert!(text.contains("libtorch") || text.contains("--checkpoint DIR"), "{text}");
        assert!(!run.directory().exists());
        // A dry run ends where the run would.
        let mut dry = run.command();
        dry.arg("--dry-run");
        assert_eq!(machine.go(dry).code, 2);
    }
}

#[test]
fn the_expert_plays_on_stand_ins_without_being_told() {
    let machine = Machine::bare();
    let python = machine.python();
    let run = Run::new(&["libero", "--policy", "expert", "--python", &python]);
    let ended = machine.go(run.command());
    // This Python is none, but it was asked: assets were no obstacle.
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(machine.python_was_started(), "{}", ended.stderr);
}

#[test]
#[cfg(feature = "torch")]
fn a_checkpoint_that_is_not_synthetic_is_never_played_on_stand_ins_unasked() {
    let (machine, synthetic) = (Machine::bare(), crate::support::Checkpoint::make());
    let trained = synthetic.copy();
    let manifest = trained.path().join("checkpoint.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.as_object_mut().unwrap().remove("synthetic"), Some(true.into()));
    std::fs::write(&manifest, json.to_string()).unwrap();
    let python = machine.python();
    let words = |checkpoint: &str, assets: &[&str]| {
        let base = ["libero", "--suite", "long", "--python", &python, "--device", "cpu"];
        Run::new(&[&base[..], &["--checkpoint", checkpoint], assets].concat())
    };
    let run = words(&trained.word(), &[]);
    let ended = machine.go(run.command());
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert_all(&ended.stderr, &["udvla-eval setup libero --assets", "--assets stand-ins"]);
    assert!(!machine.python_was_started() && !run.directory().exists());
    for (checkpoint, assets) in
        [(trained.word(), &["--assets", "stand-ins"][..]), (synthetic.word(), &[])]
    {
        let _ = std::fs::remove_file(machine.home.path().join("python.started"));
        let ended = machine.go(words(&checkpoint, assets).command());
        assert!(machine.python_was_started(), "{}", ended.stderr);
    }
}

#[test]
fn a_folder_without_the_files_is_refused_and_a_pointer_is_named() {
    let machine = Machine::bare();
    let python = machine.python();
    let empty = machine.home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let word = empty.display().to_string();
    let words = ["libero", "--policy", "idle", "--python", &python, "--assets", &word];
    let ended = machine.go(Run::new(&words).command());
    assert_eq!(ended.code, 2);
    assert_all(&ended.stderr, &["holds none of libero's files", "`libero/libero/assets`"]);
    // A checkout whose large files were not fetched.
    let wall = empty.join("libero/libero/assets/textures/light-gray-plaster.png");
    std::fs::create_dir_all(wall.parent().unwrap()).unwrap();
    std::fs::write(&wall, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
    let ended = machine.go(Run::new(&words).command());
    assert_all(&ended.stderr, &["lacks ", "Git LFS pointers", "git lfs pull"]);
    assert!(!machine.python_was_started());
}

#[test]
fn a_dry_run_starts_the_simulator_and_measures_with_an_earlier_run() {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let run = Run::fake(&["--policy", "expert", "--suite", "goal", "--task", "0", "--trials", "2"]);
    let dry = |out: &Path, more: &[&str]| {
        let out = out.display().to_string();
        let words = ["libero", "--simulator", fake, "--policy", "expert", "--out", &out];
        udvla(&[&words[..], more, &["--dry-run"]].concat())
    };
    let other: PathBuf = run.directory().with_file_name("other");
    let ended = dry(&other, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_all(&ended.stdout, &["episodes  2000", "setting   ", "memory    ", "estimate  none"]);
    assert_eq!(run.go().code, 0);
    assert_all(&dry(&other, &["--suite", "goal"]).stdout, &["estimate  ", "2 episodes with"]);
    assert_all(&dry(&other, &[]).stdout, &["estimate  none"]);
    let refused = dry(&other, &["--stop-early", "paper"]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert_all(&refused.stderr, &["`--stop-early` is not possible here"]);
    let file = run.directory().join("run.json");
    let refused = dry(&file, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert_all(&refused.stderr, &["cannot be a run directory"]);
    assert!(!other.exists());
    let ended = udvla(&[
        "libero",
        "--simulator",
        fake,
        "--policy",
        "idle",
        "--sim-option=start=setup",
        "--dry-run",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    assert_all(&ended.stderr, &["meshes/bowl.msh"]);
}

#[test]
fn doctor_lists_every_part_and_the_command_that_sets_it_up() {
    let machine = Machine::bare();
    let program = env!("CARGO_BIN_EXE_udvla-eval");
    let go = |words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).env_remove("UDVLA_CHECKPOINT");
        machine.go(command)
    };
    let ended = go(&["doctor", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&ended.stdout).expect(&ended.stderr);
    let row = |part: &str| {
        let rows = rows.as_array().unwrap().iter();
        rows.clone().find(|row| row["part"] == part).unwrap_or_else(|| panic!("no {part}"))
    };
    for part in ["system", "memory"] {
        assert_eq!(row(part)["state"], "ready", "{rows:#}");
    }
    for benchmark in ["libero", "calvin", "simpler"] {
        assert_eq!(row(benchmark)["state"], "absent", "{rows:#}");
        let text = row(benchmark).to_string();
        assert!(text.contains(&format!("udvla-eval setup {benchmark}")), "{text}");
    }
    row("libtorch");
    let table = go(&["doctor"]).stdout;
    assert_all(&table, &["✓ system", "✓ memory", "- libero", "- calvin", "- simpler"]);
}

#[test]
fn a_python_without_packages_for_it_is_refused_by_its_version() {
    let machine = Machine::bare();
    let python = machine.home.path().join("python3.13");
    std::fs::write(&python, "#!/bin/sh\necho 3.13\necho /usr/bin/python3.13\n").unwrap();
    std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
    let word = python.display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    command.args(["setup", "calvin", "--python", &word]);
    let ended = machine.go(command);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert_all(&ended.stderr, &["is Python 3.13", "3.11, 3.10 alone", "uv python install 3.11"]);
}

#[test]
fn setup_refuses_mac_os_and_arm_before_anything_is_downloaded() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    for (system, processor) in [("Darwin", "arm64"), ("Linux", "aarch64")] {
        let machine = Machine::bare();
        let uname = machine.home.path().join("uname");
        let text = format!("#!/bin/sh\n[ $1 = -s ] && echo {system} || echo {processor}\n");
        std::fs::write(&uname, text).unwrap();
        std::fs::set_permissions(&uname, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new("bash");
        let path = format!("{}:{}", machine.home.path().display(), std::env::var("PATH").unwrap());
        command.arg(&script).env("PATH", path);
        let ended = machine.go(command);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert_all(&ended.stderr, &[system, processor, "hint: use a Linux machine"]);
        assert_eq!(ended.stderr.lines().count(), 3, "{}", ended.stderr);
    }
}

/// The original files of CALVIN's and SimplerEnv's scenes are in `UDVLA_TEST_DATA`, the latter with
/// three stand-ins.
#[test]
fn the_real_files_are_fetched_checked_and_found_by_the_run() {
    let Some(data) = std::env::var_os("UDVLA_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: all: fetching is tried on files of UDVLA_TEST_DATA");
        return;
    };
    let machine = Machine::bare();
    let setup = |benchmark: &str, flag: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        command.args(["setup", benchmark, flag, "--from"]).arg(data.join(benchmark));
        machine.go(command)
    };
    let ended = setup("calvin", "--scene");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_all(&ended.stderr, &["calvin: 95 files are ready in", "assets/calvin-797142c5"]);
    let run = Run::new(&["calvin", "--policy", "expert", "--rollouts", "1"]);
    let ended = machine.go(run.command());
    assert_all(&ended.stderr, &["calvin has no Python environment yet"]);
    assert!(!ended.stderr.contains("reasons"), "{}", ended.stderr);
    // Stand-ins among the files are no originals.
    for (benchmark, flag) in [("libero", "--assets"), ("simpler", "--scene")] {
        let ended = setup(benchmark, flag);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert_all(&ended.stderr, &["not the published files", "are kept"]);
    }
}
