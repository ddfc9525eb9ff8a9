//! Workers that are shell scripts.

use super::*;

fn shell(script: &str) -> (tempfile::TempDir, Worker) {
    let folder = tempfile::tempdir().unwrap();
    let command = WorkerCommand {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: BTreeMap::from([("UDVLA_TEST_VALUE".into(), "passed on".into())]),
        log: folder.path().join("log"),
    };
    let worker = Worker::start(&command).unwrap();
    (folder, worker)
}

#[test]
fn a_worker_that_is_stopped_is_lost_at_once() {
    let (_folder, mut worker) = shell("sleep 1000");
    let stopper = Stopper(worker.stream.try_clone().unwrap());
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || {
        worker.ask(&Request::Close, &[], Duration::from_secs(100)).unwrap_err()
    });
    stopper.stop();
    assert_eq!(waiting.join().unwrap().kind(), "lost");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_worker_that_hangs_is_killed_with_children_that_left_it() {
    // In sessions of their own, without a parent, and the last one without the marker.
    let rest = |clean: &str| format!("setsid {clean} /bin/sh -c 'echo $$; exec /bin/sleep 1001'");
    let (plain, bare) = (rest(""), rest("env -i"));
    let script = format!("{plain} & ({plain} &); ({bare} &); sleep 1000");
    let (folder, mut worker) = shell(&script);
    let error = worker.ask(&Request::Close, &[], Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.kind(), "timeout");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    // The shell tells of a killed child as well.
    let left: Vec<u32> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(left.len(), 3, "{log}");
    assert!(!left.iter().any(|process| alive(*process)), "{log}");
}

fn alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|text| !text.contains(") Z"))
}

#[test]
fn a_worker_that_dies_is_lost_with_its_exit_code() {
    let (_folder, mut worker) = shell("exit 7");
    let error = worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.kind(), "lost");
    assert!(error.to_string().contains("exit code 7"), "{error}");
}

#[test]
fn a_crash_is_explained_from_the_output_of_that_worker_alone() {
    let crash = |script: &str| {
        let (_folder, mut worker) = shell(script);
        worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err().to_string()
    };
    let text = crash("echo 'RuntimeError: Cannot find a suitable rendering device'; kill -SEGV $$");
    assert!(text.contains("signal 11, a segmentation fault"), "{text}");
    assert!(text.contains("likely cause: no Vulkan driver"), "{text}");
    let text = crash("echo 'all is well'; exit 3");
    assert_eq!(text, "the simulator worker died (exit code 3)");
}

#[test]
fn a_worker_has_the_variables_of_its_command() {
    let (folder, mut worker) = shell("echo $UDVLA_TEST_VALUE");
    worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log, "passed on\n");
}

#[test]
fn a_worker_that_hangs_is_killed_with_its_children() {
    let (folder, mut worker) = shell("sleep 1000 & echo $!; wait");
    let error = worker.ask(&Request::Close, &[], Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.kind(), "timeout");
    let grandchild: u32 =
        std::fs::read_to_string(folder.path().join("log")).unwrap().trim().parse().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while alive(grandchild) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!alive(grandchild), "process {grandchild} outlived its group");
}

#[test]
fn bytes_that_are_no_frame_are_a_wire_error() {
    let (_folder, mut worker) = shell("printf 'Segmentation fault, or so' >&0; sleep 10");
    let error = worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.kind(), "wire", "{error}");
}

#[test]
fn a_missing_executable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let command = WorkerCommand {
        program: "/nowhere/udvla-sim-worker".into(),
        arguments: vec![],
        environment: BTreeMap::new(),
        log: folder.path().join("log"),
    };
    let error = Worker::start(&command).unwrap_err();
    assert!(error.to_string().contains("/nowhere/udvla-sim-worker"), "{error}");
    assert!(error.is_setup());
}
