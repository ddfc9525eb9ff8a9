//! The real worker with embedded Python, on the toy adapter: no simulator is needed, only an
//! environment with numpy (`udvla-eval setup libero`, or `UDVLA_TEST_PYTHON`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use udvla_eval::environment::{adapters, worker};
use udvla_sims::episode::{AT_FIRST_STEP, AT_RESET, EpisodeKey};
use udvla_sims::process::{SimError, Worker, WorkerCommand};
use udvla_sims::protocol::{Protocol, Suite};
use udvla_sims::wire::{self, Cause, OpenConfig, Reply, Request, VideoRequest};

use crate::support::environment_of;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A Python with numpy, or `None` after printing why the test is skipped.
pub fn environment() -> Option<PathBuf> {
    environment_of("libero", "UDVLA_TEST_PYTHON")
}

fn command(python: &Path, folder: &Path) -> WorkerCommand {
    let words = [python, &adapters().unwrap()].map(|path| path.display().to_string());
    WorkerCommand {
        program: worker().unwrap(),
        arguments: words.to_vec(),
        environment: BTreeMap::new(),
        log: folder.join("worker.log"),
    }
}

fn config(folder: &Path, environment: serde_json::Value) -> OpenConfig {
    let suite = Suite {
        name: "toys".into(),
        tasks: vec!["raise a".into()],
        trials: 1,
        stages: 2,
        max_steps: 40,
        details: Default::default(),
    };
    OpenConfig {
        protocol: Protocol {
            name: "toy".into(),
            version: 1,
            benchmark: "toy".into(),
            suites: vec![suite],
            environment: serde_json::from_value(environment).unwrap(),
        },
        suites: vec!["toys".into()],
        images: true,
        last_look: false,
        video: true,
        scratch: folder.display().to_string(),
        options: BTreeMap::new(),
    }
}

fn reset(video: Option<VideoRequest>) -> Request {
    Request::Reset { key: EpisodeKey { suite: "toys".into(), task: 0, trial: 3 }, video }
}

#[test]
fn success_before_the_policy_acted_is_noted() {
    let Some(python) = environment() else { return };
    for (head_start, expected) in [(1.0, Some(AT_RESET)), (0.75, Some(AT_FIRST_STEP)), (0.5, None)]
    {
        let folder = tempfile::tempdir().unwrap();
        let environment = serde_json::json!({"stages": 1, "head_start": head_start});
        let config = OpenConfig { video: false, ..config(folder.path(), environment) };
        let (mut worker, _) =
            Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap();
        worker.ask(&reset(None), &[], TIMEOUT).unwrap();
        let chunk = wire::to_bytes(&[0.25, 0.0, 0.0].repeat(2));
        let (reply, _) = worker.ask(&Request::Play { width: 3 }, &chunk, TIMEOUT).unwrap();
        let Reply::Finished { notes, .. } = reply else { panic!("{reply:?}") };
        for name in [AT_RESET, AT_FIRST_STEP] {
            let noted = notes.contains_key(name);
            assert_eq!(noted, expected == Some(name), "{head_start}: {notes:?}");
        }
    }
}

#[test]
fn a_chunk_is_played_in_one_message_and_cut_at_the_end_of_a_stage() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), serde_json::json!({"stages": 2}));
    let (mut worker, ready) =
        Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap();
    let Reply::Ready { spec, setting, .. } = ready else { panic!("{ready:?}") };
    assert_eq!(spec.action, ["a", "b", "c"]);
    // Both ways of embedding are allowed on a user's machine; here it must be the first.
    assert_eq!(setting["embedding"], "embedded");
    let (reply, body) = worker.ask(&reset(None), &[], TIMEOUT).unwrap();
    let Reply::Observed { images, instruction, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!((images.as_slice(), instruction.as_str()), (&[(24, 32)][..], "raise a by 1"));
    assert_eq!(body.len(), 24 * 32 * 3 + 3 * 4);
    // 0.25 a step: the first stage ends with step 4 of 10, and the rest of the chunk is dropped.
    let chunk = wire::to_bytes(&[0.25, 0.0, 0.0].repeat(10));
    let (reply, _) = worker.ask(&Request::Play { width: 3 }, &chunk, TIMEOUT).unwrap();
    let Reply::Observed { stage, steps, instruction, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!((*stage, *steps, instruction.as_str()), (1, 4, "raise a by 2"));
    let (reply, body) = worker.ask(&Request::Play { width: 3 }, &chunk, TIMEOUT).unwrap();
    let Reply::Finished { stages_completed, steps, truncated, .. } = &reply else {
        panic!("{reply:?}")
    };
    assert_eq!((*stages_completed, *steps, *truncated), (2, 8, false));
    assert_eq!(wire::from_bytes(&body).unwrap(), [0.25, 0.0, 0.0].repeat(8));
}

#[test]
fn what_is_seen_behind_the_last_step_comes_with_the_end_when_asked_for() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config =
        OpenConfig { last_look: true, ..config(folder.path(), serde_json::json!({"stages": 1})) };
    let (mut worker, _) =
        Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap();
    worker.ask(&reset(None), &[], TIMEOUT).unwrap();
    let chunk = wire::to_bytes(&[0.25, 0.0, 0.0].repeat(10));
    let (reply, body) = worker.ask(&Request::Play { width: 3 }, &chunk, TIMEOUT).unwrap();
    let Reply::Finished { steps, images, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!((*steps, images.as_slice()), (4, &[(24, 32)][..]));
    let (actions, picture) = body.split_at(4 * 3 * 4);
    assert_eq!(wire::from_bytes(actions).unwrap(), [0.25, 0.0, 0.0].repeat(4));
    assert_eq!(picture.len(), 24 * 32 * 3);
}

#[test]
fn success_that_is_lost_again_cuts_no_chunk_and_the_last_step_counts() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let environment = serde_json::json!({"until_limit": true, "max_steps": 8});
    let mut config = config(folder.path(), environment);
    config.protocol.suites[0].stages = 1;
    let (mut worker, _) =
        Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap();
    let up_and = |last: f32| {
        let steps = [0.5, 0.5, 0.5, -1.0, 0.0, 0.0, 0.0, last];
        wire::to_bytes(&steps.map(|first| [first, 0.0, 0.0]).concat())
    };
    for (last, completed) in [(0.0, 0), (1.0, 1)] {
        worker.ask(&reset(None), &[], TIMEOUT).unwrap();
        let play = Request::Play { width: 3 };
        let (reply, _) = worker.ask(&play, &up_and(last), TIMEOUT).unwrap();
        let Reply::Finished { stages_completed, steps, truncated, notes, .. } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!((stages_completed, steps, truncated), (completed, 8, completed == 0));
        let expected = [("first_success_step", 2.into()), ("success_any", true.into())];
        assert_eq!(notes, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}

#[test]
fn the_script_plays_and_the_video_is_made() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), serde_json::json!({"stages": 1}));
    let (mut worker, _) =
        Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap();
    let path = folder.path().join("toy.mp4");
    let video = |failures_only| {
        let path = path.display().to_string();
        Some(VideoRequest { path, every: 2, failures_only })
    };
    for (failures_only, kept) in [(true, false), (false, true)] {
        let mut reply = worker.ask(&reset(video(failures_only)), &[], TIMEOUT).unwrap().0;
        while matches!(reply, Reply::Observed { .. }) {
            reply = worker.ask(&Request::Script { steps: 5 }, &[], TIMEOUT).unwrap().0;
        }
        let Reply::Finished { steps, video, .. } = reply else { panic!("{reply:?}") };
        assert_eq!((steps, video, path.exists()), (8, kept, kept));
    }
    assert!(std::fs::metadata(&path).unwrap().len() > 500);
}

#[test]
fn an_exception_comes_with_its_traceback_and_prints_stay_in_the_log() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), serde_json::json!({"raise_at": 2}));
    let command = command(&python, folder.path());
    let (mut worker, _) = Worker::open(&command, config, TIMEOUT, |_| {}).unwrap();
    worker.ask(&reset(None), &[], TIMEOUT).unwrap();
    let error = worker.ask(&Request::Script { steps: 5 }, &[], TIMEOUT).unwrap_err();
    let SimError::Raised { cause, message, traceback } = error else { panic!("{error:?}") };
    assert_eq!(cause, Cause::Simulator);
    assert!(message.contains("the toy broke"), "{message}");
    assert!(traceback.contains("toy.py"), "{traceback}");
    drop(worker);
    let log = std::fs::read_to_string(command.log).unwrap();
    assert!(log.contains("toy: reset to toys 0 3"), "{log}");
}

#[test]
fn a_missing_piece_is_a_setup_error() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), serde_json::json!({"broken": true}));
    let error =
        Worker::open(&command(&python, folder.path()), config, TIMEOUT, |_| {}).unwrap_err();
    assert!(error.is_setup());
    assert_eq!(error.to_string(), "the toy's box is empty: fill it with `make toys`");
}

#[test]
fn an_action_that_the_simulator_cannot_take_is_refused() {
    let Some(python) = environment() else { return };
    let folder = tempfile::tempdir().unwrap();
    let command = command(&python, folder.path());
    for (width, values) in
        [(2, vec![0.0; 4]), (3, vec![0.0; 4]), (3, vec![f32::NAN; 3]), (3, vec![])]
    {
        let config = config(folder.path(), serde_json::json!({}));
        let (mut worker, _) = Worker::open(&command, config, TIMEOUT, |_| {}).unwrap();
        worker.ask(&reset(None), &[], TIMEOUT).unwrap();
        let play = Request::Play { width };
        let error = worker.ask(&play, &wire::to_bytes(&values), TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), "raised", "{error}");
    }
}
