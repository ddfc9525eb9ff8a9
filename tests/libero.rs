//! Real LIBERO through the whole program. Stand-in assets need only the simulator's
//! environment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;

use crate::support::{Run, assert_same_outcomes, files_of, link_tree};
use crate::worker::environment;

/// `udvla-eval libero` with an assets folder, or `None` after saying why it is skipped.
fn run(assets: &str, words: &[&str]) -> Option<Run> {
    let python = environment()?.display().to_string();
    let base = ["libero", "--no-progress", "--python", &python, "--assets", assets];
    Some(Run::new(&[&base[..], words].concat()))
}

fn real_assets() -> Option<String> {
    files_of("libero").map(|folder| folder.display().to_string())
}

fn hashes(run: &Run) -> BTreeMap<EpisodeKey, (Option<String>, Option<String>, u32)> {
    let facts = |record: EpisodeRecord| {
        (record.first_observation_sha256, record.final_state_sha256, record.steps)
    };
    run.records().into_iter().map(|(key, record)| (key, facts(record))).collect()
}

fn key(suite: &str, task: u16, trial: u16) -> EpisodeKey {
    EpisodeKey { suite: suite.into(), task, trial }
}

#[test]
fn the_expert_solves_the_object_suite_on_stand_ins() {
    let words = ["--policy", "expert", "--suite", "object", "--trials", "1", "--workers", "2"];
    let Some(run) = run("stand-ins", &words) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let solved = run.records().values().filter(|record| record.success() == Some(true)).count();
    assert!(solved >= 8, "{solved} of 10\n{}", ended.stdout);
    assert!(ended.stdout.contains("stand-in assets, not comparable"), "{}", ended.stdout);
    let setting = run.manifest().setting;
    assert_eq!(
        (setting.assets.as_deref().unwrap(), setting.embedding.as_deref().unwrap()),
        ("stand-ins", "embedded")
    );
}

/// At least so many of six episodes on three tasks, without a checkpoint.
#[track_caller]
fn own_policy_solves(assets: &str, checkpoint: &str, least: usize) {
    let words = ["--suite", "object", "--task", "0,7,8", "--trials", "2", "--device", "cpu"];
    let Some(run) = run(assets, &[&words[..], &["--workers", "2"]].concat()) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let note = format!("no checkpoint is named: this is `{checkpoint}`");
    assert!(ended.stderr.contains(&note), "{}", ended.stderr);
    let records = run.records();
    let solved = records.values().filter(|record| record.success() == Some(true)).count();
    assert!(records.len() == 6 && solved >= least, "{solved} of 6\n{}", ended.stdout);
}

#[test]
fn the_policy_that_comes_with_the_program_solves_its_tasks() {
    let Some(assets) = real_assets() else { return };
    own_policy_solves(&assets, "udvla-nano", 4);
}

#[test]
fn the_one_for_stand_ins_solves_most_there() {
    own_policy_solves("stand-ins", "udvla-nano-stand-ins", 4);
}

#[test]
fn the_expert_solves_a_task_of_every_suite_and_idle_none() {
    let Some(assets) = real_assets() else { return };
    for (suite, task) in [("spatial", "0"), ("object", "0"), ("goal", "6"), ("long", "0")] {
        for (policy, wanted) in [("expert", true), ("idle", false)] {
            let words = ["--policy", policy, "--suite", suite, "--task", task, "--trials", "1"];
            let Some(run) = run(&assets, &words) else { return };
            let ended = run.go();
            assert_eq!(ended.code, 0, "{suite} {policy}: {}", ended.stderr);
            let records = run.records();
            let success = records[&key(suite, task.parse().unwrap(), 0)].success();
            assert_eq!(success, Some(wanted), "{suite} {policy}");
        }
    }
}

#[test]
fn an_episode_is_the_same_alone_in_a_pool_first_or_last() {
    let words = ["--policy", "random", "--suite", "object", "--trials", "2"];
    let tasks = |tasks: &[&'static str]| -> Vec<&str> {
        tasks.iter().flat_map(|task| ["--task", *task]).collect()
    };
    let with = |tasks: Vec<&'static str>, more: &[&'static str]| -> Option<Run> {
        run("stand-ins", &[&words[..], &tasks, more].concat())
    };
    let Some(pool) = with(tasks(&["3", "5"]), &["--workers", "2"]) else { return };
    let Some(queue) = with(tasks(&["3", "5"]), &["--workers", "1"]) else { return };
    let Some(alone) = with(tasks(&["5"]), &["--workers", "1"]) else { return };
    for run in [&pool, &queue, &alone] {
        let ended = run.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let (pool, queue, alone) = (hashes(&pool), hashes(&queue), hashes(&alone));
    assert_eq!(pool, queue);
    let last = key("object", 5, 1);
    assert_eq!(queue[&last], alone[&last]);
    assert_ne!(queue[&last].1, queue[&key("object", 5, 0)].1);
}

#[test]
fn a_video_does_not_change_an_episode() {
    let words = ["--policy", "random", "--suite", "object", "--task", "2", "--trials", "1"];
    let Some(plain) = run("stand-ins", &words) else { return };
    let Some(filmed) = run("stand-ins", &[&words[..], &["--video", "all"]].concat()) else {
        return;
    };
    assert_eq!((plain.go().code, filmed.go().code), (0, 0));
    assert_same_outcomes(&plain.records(), &filmed.records());
    let record = &filmed.records()[&key("object", 2, 0)];
    let video = filmed.directory().join(record.video.as_ref().expect("a video"));
    assert!(std::fs::metadata(video).unwrap().len() > 10_000);
}

/// The simulator processes of a harness process: the children of their supervisors.
fn workers_of(harness: u32) -> Vec<i32> {
    children_of(harness).into_iter().flat_map(|id| children_of(id.cast_unsigned())).collect()
}

fn children_of(parent: u32) -> Vec<i32> {
    let children = format!("/proc/{parent}/task");
    let tasks = std::fs::read_dir(children).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(String::from).collect::<Vec<_>>())
        .filter_map(|process| process.parse().ok())
        .collect()
}

#[test]
fn a_worker_that_is_killed_or_stopped_costs_an_attempt_and_nothing_else() {
    let words = ["--policy", "random", "--suite", "object", "--task", "1", "--trials", "3"];
    let words = [&words[..], &["--workers", "1", "--step-timeout", "20"]].concat();
    let Some(calm) = run("stand-ins", &words) else { return };
    assert_eq!(calm.go().code, 0);
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        let Some(run) = run("stand-ins", &words) else { return };
        let mut child = run.start().unwrap();
        let end = Instant::now() + Duration::from_secs(300);
        while run.records().is_empty() {
            assert!(Instant::now() < end, "no first record");
            std::thread::sleep(Duration::from_millis(20));
        }
        let workers = workers_of(child.id());
        assert_eq!(workers.len(), 1, "{workers:?}");
        // SAFETY: the worker belongs to the child, which has not ended.
        assert_eq!(unsafe { libc::kill(workers[0], signal) }, 0);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let records = run.records();
        assert_same_outcomes(&calm.records(), &records);
        let attempts: u16 = records.values().map(|record| record.attempts).sum();
        assert_eq!(attempts, 4, "one of three episodes was played twice");
    }
}

#[test]
fn a_task_whose_simulator_raises_is_an_error_and_the_others_run() {
    let Some(assets) = real_assets() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("assets");
    link_tree(Path::new(&assets), &broken);
    // A mesh that MuJoCo refuses: it is in the object suite's task 7 and nowhere in spatial.
    let mesh = broken.join("stable_hope_objects/milk/visual/textured_vis.msh");
    std::fs::remove_file(&mesh).unwrap();
    std::fs::write(&mesh, "no mesh at all").unwrap();
    let words = ["--policy", "idle", "--suite", "object", "--suite", "spatial", "--task", "7"];
    let words = [&words[..], &["--trials", "1", "--workers", "1"]].concat();
    let Some(run) = run(&broken.display().to_string(), &words) else { return };
    let ended = run.go();
    let records = run.records();
    assert_eq!(ended.code, 4, "{}{}", ended.stdout, ended.stderr);
    let milk = &records[&key("object", 7, 0)];
    assert_eq!((milk.status, milk.attempts), (Status::Error, 2));
    assert_eq!(milk.error_kind.as_deref(), Some("raised"));
    assert_eq!(records[&key("spatial", 7, 0)].success(), Some(false));
    assert!(ended.stdout.contains("1 error"), "{}", ended.stdout);
}

#[test]
fn incomplete_assets_are_refused_with_the_names_of_the_missing_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("textures")).unwrap();
    std::fs::write(folder.path().join("textures/light-gray-plaster.png"), "one of them").unwrap();
    let words = ["--policy", "idle", "--suite", "goal", "--trials", "1"];
    let Some(run) = run(&folder.path().display().to_string(), &words) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains(".xml"), "{}", ended.stderr);
    assert!(!run.directory().exists());
}

#[test]
fn the_environments_own_interpreter_gives_the_same_records() {
    let words = ["--policy", "random", "--suite", "object", "--task", "9", "--trials", "1"];
    let Some(embedded) = run("stand-ins", &words) else { return };
    let Some(interpreter) = run("stand-ins", &words) else { return };
    assert_eq!(embedded.go().code, 0);
    let mut command = interpreter.command();
    let output = command.env("UDVLA_WORKER_FORM", "interpreter").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_outcomes(&embedded.records(), &interpreter.records());
    let form = |run: &Run| run.manifest().setting.embedding.unwrap();
    assert_eq!((form(&embedded), form(&interpreter)), ("embedded".into(), "interpreter".into()));
}

#[test]
fn a_python_without_the_simulator_is_refused_with_the_next_step() {
    // The interpreter that the environment was made from has none of its packages.
    let Some(python) = environment() else { return };
    let ask = "import sys; print(sys._base_executable)";
    let output = std::process::Command::new(python).args(["-c", ask]).output().unwrap();
    let bare = String::from_utf8(output.stdout).unwrap();
    let words = ["libero", "--policy", "idle", "--python", bare.trim(), "--no-progress"];
    let run = Run::new(&words);
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("udvla-eval setup"), "{}", ended.stderr);
    assert!(!run.directory().exists());
}
