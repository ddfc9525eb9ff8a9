//! SimplerEnv-WidowX: on the fake simulator, and on the real one where its files are.

use std::path::{Path, PathBuf};
use std::process::Command;

use udvla_results::run::record::{EpisodeRecord, Status};

use crate::support::{
    Run, assert_same_outcomes, environment_of, files_of, keep_records, link_tree, udvla,
};

fn fake(words: &[&str]) -> Run {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    Run::new(&[&["simpler", "--simulator", fake, "--no-progress"], words].concat())
}

/// SimplerEnv's files and the Python of its environment, or `None` after printing why the test
/// is skipped.
fn environment() -> Option<(PathBuf, PathBuf)> {
    Some((files_of("simpler")?, environment_of("simpler", "UDVLA_TEST_SIMPLER_PYTHON")?))
}

fn real_with(root: &Path, python: &Path, words: &[&str]) -> Run {
    let (root, python) = (root.display().to_string(), python.display().to_string());
    let base = ["simpler", "--simpler-root", &root, "--python", &python, "--no-progress"];
    Run::new(&[&base[..], words].concat())
}

/// A run on the real simulator, or `None` where it cannot be had.
fn real(words: &[&str]) -> Option<Run> {
    let (root, python) = environment()?;
    Some(real_with(&root, &python, words))
}

/// Whether something can be drawn here; prints why not.
#[cfg(feature = "torch")]
fn can_draw() -> bool {
    let driver = udvla_eval::vulkan::nvidia().or(udvla_eval::vulkan::lavapipe().unwrap());
    if driver.is_none() {
        println!("skipped: no Vulkan driver (scripts/lavapipe)");
    }
    driver.is_some()
}

fn refused(run: &Run, expected: &[&str]) {
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
    }
    assert!(!run.directory().exists(), "a refused run leaves no directory");
}

#[test]
fn four_tasks_of_24_episodes_and_both_rules_of_success() {
    let run = fake(&["--policy", "expert"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 96);
    let tasks: Vec<u16> = records.keys().map(|key| key.task).step_by(24).collect();
    assert_eq!(tasks, [0, 1, 2, 3]);
    let noted = |record: &EpisodeRecord| record.notes["success_any"].as_bool().unwrap();
    let last = records.values().filter(|record| record.success() == Some(true)).count();
    let any = records.values().filter(|record| noted(record)).count();
    assert!(last < any && any < 96, "{last} at the last step, {any} at any");
    for text in ["SimplerEnv WidowX", &format!("{last}/96"), &format!("{any}/96"), "Table 4"] {
        assert!(ended.stdout.contains(text), "no `{text}` in: {}", ended.stdout);
    }
    let tables = udvla(&["tables", &run.directory().display().to_string()]);
    assert_eq!(tables.code, 0, "{}", tables.stderr);
    let note = format!("at any step: {any}/96");
    assert!(tables.stdout.contains(&note), "no `{note}` in: {}", tables.stdout);
}

#[test]
fn another_rule_or_limit_is_another_protocol() {
    let paper = fake(&["--policy", "expert", "--trials", "2"]);
    assert_eq!(paper.go().code, 0);
    let fingerprint = |run: &Run| run.manifest().protocol_fingerprint;
    for (words, text) in [
        (["--success", "any-step"], "success any-step, at most 120 steps"),
        (["--max-steps", "30"], "success last-step, at most 30 steps"),
    ] {
        let own = fake(&[&["--policy", "expert", "--trials", "2"], &words[..]].concat());
        let ended = own.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stdout.contains(text), "no `{text}` in: {}", ended.stdout);
        assert_eq!(own.manifest().protocol.name, "simpler-widowx-own");
        assert_ne!(fingerprint(&own), fingerprint(&paper));
    }
}

#[test]
fn the_simulator_plays_by_the_rule_and_limit_that_were_asked_for() {
    let words = ["--policy", "expert", "--task", "stack", "--trials", "1", "--max-steps", "26"];
    for (rule, last) in [("any-step", true), ("last-step", false)] {
        let Some(run) = real(&[&words[..], &["--success", rule]].concat()) else { return };
        let ended = run.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let record = run.records().into_values().next().unwrap();
        assert_eq!((record.steps, record.task), (26, 2));
        let note = if last { "success_any" } else { "success_last" };
        assert_eq!(record.success(), record.notes[note].as_bool(), "{rule}: {record:?}");
        assert_eq!(record.notes["success_any"], true, "{record:?}");
    }
}

#[test]
fn workers_and_a_resume_do_not_change_an_episode() {
    let words = ["--policy", "random", "--task", "stack", "--task", "spoon", "--trials", "5"];
    let alone = fake(&[&words[..], &["--workers", "1"]].concat());
    let many = fake(&[&words[..], &["--workers", "4"]].concat());
    assert_eq!((alone.go().code, many.go().code), (0, 0));
    assert_same_outcomes(&alone.records(), &many.records());
    keep_records(&many.directory(), 4);
    let ended = many.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&alone.records(), &many.records());
}

#[test]
fn repeats_are_further_trials_and_the_tables_say_so() {
    let run = fake(&["--policy", "random", "--task", "carrot", "--repeats", "2"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 48);
    assert!(ended.stdout.contains("2 repeats of the same 24 initial states"), "{}", ended.stdout);
    let refused = |words: &[&str], expected: &str| {
        let ended = fake(&[&["--repeats", "2"], words].concat()).go();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in: {}", ended.stderr);
    };
    refused(&["--policy", "random", "--trials", "5"], "plays all 24 episode ids");
    refused(&["--policy", "expert"], "no noise to repeat");
}

#[test]
fn what_cannot_work_is_refused() {
    let idle = |words: &[&str]| Run::new(&[&["simpler", "--policy", "idle"], words].concat());
    refused(
        &idle(&["--simpler-root", "/nowhere"]),
        &["no folder `/nowhere` with simpler's files", "udvla-eval setup simpler --scene"],
    );
    refused(&idle(&["--task", "lama"]), &["spoon, carrot, stack, eggplant, all"]);
    refused(&idle(&["--trials", "25"]), &["1..=24"]);
    refused(&idle(&["--adapter", "fat"]), &["slim, upstream"]);
    refused(&idle(&["--renderer", "egl"]), &["auto, gpu, lavapipe"]);
}

#[test]
fn a_python_that_sapien_has_no_wheels_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python3.12");
    std::fs::write(&python, "#!/bin/sh\necho 3.12\necho $0\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    let home = folder.path().join("home").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
        .args(["setup", "simpler", "--python", &python.display().to_string()])
        .env("UDVLA_HOME", home)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains(
            "is Python 3.12, and the packages of simpler exist for Python 3.11, 3.10 alone"
        ),
        "{text}"
    );
}

#[test]
fn list_names_the_tasks_with_their_steps() {
    let ended = udvla(&["list", "simpler"]);
    for text in ["spoon", "put carrot on plate, at most 60 steps", "basket, at most 120 steps"] {
        assert!(ended.stdout.contains(text), "no `{text}` in: {}", ended.stdout);
    }
}

#[test]
fn the_expert_solves_all_four_tasks_alike_with_one_worker_and_two() {
    let words = ["--policy", "expert", "--trials", "1"];
    let Some(one) = real(&[&words[..], &["--workers", "1"]].concat()) else { return };
    let Some(two) = real(&[&words[..], &["--workers", "2"]].concat()) else { return };
    let ended = one.go();
    assert_eq!((ended.code, two.go().code), (0, 0), "{}", ended.stderr);
    assert_same_outcomes(&one.records(), &two.records());
    for record in one.records().values() {
        assert_eq!(record.success(), Some(true), "{record:?}");
        assert_eq!(record.steps, if record.task == 3 { 120 } else { 60 });
        assert_eq!(record.notes["success_any"], true);
        assert!(record.notes["first_success_step"].as_u64() <= Some(60), "{record:?}");
    }
    assert_eq!(one.manifest().setting.embedding.as_deref(), Some("embedded"));
    assert_eq!(
        one.manifest().setting.renderer.as_deref(),
        Some("none"),
        "the expert draws nothing"
    );
    let run = one.directory().display().to_string();
    let names = ["widowx-task02-trial000", "widowx-task03-trial000"];
    let ended = udvla(&[&["replay", run.as_str()], &names[..]].concat());
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("2 of 2 episodes end as recorded"), "{}", ended.stdout);
}

#[test]
fn an_idle_policy_solves_nothing() {
    let Some(run) = real(&["--policy", "idle", "--trials", "1"]) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 4);
    for record in records.values() {
        assert_eq!((record.status, record.success()), (Status::Ok, Some(false)), "{record:?}");
        assert_eq!((record.truncated, &record.notes["success_any"]), (true, &false.into()));
    }
}

#[cfg(feature = "torch")]
#[test]
fn the_whole_decode_plays_all_four_tasks_to_the_end() {
    if environment().is_none() || !can_draw() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("nano").display().to_string();
    assert_eq!(udvla(&["make-checkpoint", &checkpoint]).code, 0);
    let words = ["--checkpoint", &checkpoint, "--trials", "1", "--denoise-steps", "4"];
    let Some(run) = real(&[&words[..], &["--device", "cpu", "--workers", "2"]].concat()) else {
        return;
    };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    let calls: Vec<u32> = records.values().map(|record| record.calls).collect();
    assert_eq!(calls, [6, 6, 6, 12], "chunks of 10 in 60 and 120 steps");
    assert!(records.values().all(|record| record.first_observation_sha256.is_some()));
    let manifest = run.manifest();
    assert_eq!(manifest.subject.chunk, Some(10));
    assert_ne!(manifest.setting.renderer.unwrap(), "none");
    assert_eq!(manifest.setting.embedding.as_deref(), Some("embedded"));
    assert!(ended.stdout.contains("chunk 10"), "{}", ended.stdout);
    // The paper's chunk, which is another layout of the same checkpoint.
    let words = ["--checkpoint", &checkpoint, "--trials", "1", "--denoise-steps", "2"];
    let words = [&words[..], &["--device", "cpu", "--task", "stack", "--layout", "paper"]].concat();
    let Some(run) = real(&words) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().values().map(|record| record.calls).collect::<Vec<_>>(), [12]);
    assert!(ended.stdout.contains("chunk 5"), "{}", ended.stdout);
}

#[test]
fn a_missing_table_is_an_error_and_no_score() {
    let Some((data, python)) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("checkout");
    link_tree(&data, &root);
    let table = "data/hab2_bench_assets/stages/bridge_table_1_v1.glb";
    std::fs::remove_file(root.join(table)).unwrap();
    let run = real_with(&root, &python, &["--policy", "idle", "--trials", "1"]);
    refused(&run, &[table, "udvla-eval setup simpler --scene"]);
}

#[test]
fn numpy_2_is_refused_before_it_can_crash() {
    let Some((data, python)) = environment() else { return };
    let overlay = Overlay::new(&python);
    let folder = overlay.packages.join("numpy-2.2.6.dist-info");
    std::fs::create_dir(&folder).unwrap();
    let text = "Metadata-Version: 2.1\nName: numpy\nVersion: 2.2.6\n";
    std::fs::write(folder.join("METADATA"), text).unwrap();
    let run = real_with(&data, &overlay.python, &["--policy", "idle", "--trials", "1"]);
    refused(&run, &["numpy 2.2.6", "udvla-eval setup simpler"]);
}

#[test]
fn a_crash_inside_the_simulator_is_reported_with_its_likely_cause() {
    let Some((data, python)) = environment() else { return };
    let overlay = Overlay::new(&python);
    let folder = overlay.packages.join("sapien");
    std::fs::create_dir(&folder).unwrap();
    let text = "import ctypes\nctypes.string_at(0)\n";
    std::fs::write(folder.join("__init__.py"), text).unwrap();
    let run = real_with(&data, &overlay.python, &["--policy", "idle", "--trials", "1"]);
    // A simulator that dies is started again, and may be mended: the directory stays.
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}{}", ended.stdout, ended.stderr);
    for text in ["signal 11, a segmentation fault", "likely cause", "sapien/__init__.py"] {
        assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
    }
}

#[test]
fn a_machine_without_a_vulkan_device_is_told_what_to_type() {
    let Some((data, python)) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A loader that knows no driver at all.
    let empty = folder.path().join("no_driver.json");
    let text = r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "/nowhere.so", "api_version": "1.3.0"}}"#;
    std::fs::write(&empty, text).unwrap();
    let run =
        real_with(&data, &python, &["--policy", "idle", "--video", "all", "--renderer", "gpu"]);
    let go = |files: &Path| {
        let mut command = run.command();
        let output = command.env("VK_ICD_FILENAMES", files).env("VK_DRIVER_FILES", files).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(!run.directory().exists());
        text
    };
    let text = go(&empty);
    assert!(text.contains("udvla-eval setup simpler"), "{text}");
    let text = go(Path::new("/etc/vulkan/icd.d/not_there.json"));
    assert!(text.contains("which is not there") && text.contains("unset VK_"), "{text}");
}

/// An environment that sees the packages of another one behind its own.
struct Overlay {
    _folder: tempfile::TempDir,
    python: PathBuf,
    packages: PathBuf,
}

impl Overlay {
    fn new(python: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("overlay");
        let made = Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&place).status();
        assert!(made.unwrap().success());
        let packages = |python: &Path| {
            let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
            let output = Command::new(python).args(["-I", "-c", ask]).output().unwrap();
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        };
        let own = place.join("bin/python");
        let (ours, theirs) = (packages(&own), packages(python));
        std::fs::write(ours.join("below.pth"), format!("{}\n", theirs.display())).unwrap();
        Self { _folder: folder, python: own, packages: ours }
    }
}
