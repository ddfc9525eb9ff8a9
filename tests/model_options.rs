//! What can be asked of the model: replicas, targets, caches, pictures of the future.

use crate::support::{Checkpoint, Run, assert_same_outcomes, refused, udvla};

/// The fake simulator with pictures of the sizes that the checkpoint's LIBERO layout asks for.
fn short_run(checkpoint: &Checkpoint, words: &[&str]) -> Run {
    let base = ["--sim-option", "side=256", "--suite", "object", "--task", "7"];
    let model = ["--checkpoint", &checkpoint.word(), "--denoise-steps", "1"];
    Run::fake(&[&base[..], &model, words].concat())
}

#[test]
fn replicas_give_the_records_of_one_device_and_share_the_questions() {
    let checkpoint = Checkpoint::make();
    let one = short_run(&checkpoint, &["--device", "cpu", "--workers", "1", "--trials", "2"]);
    let two = short_run(&checkpoint, &["--devices", "cpu,cpu", "--workers", "2", "--trials", "2"]);
    for run in [&one, &two] {
        let ended = run.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    assert_same_outcomes(&one.records(), &two.records());
    let (alone, shared) = (one.manifest(), two.manifest());
    assert_eq!(alone.subject, shared.subject);
    assert_eq!(
        (alone.setting.device.as_deref().unwrap(), shared.setting.device.as_deref().unwrap()),
        ("cpu", "cpu,cpu")
    );
    // With two workers and two replicas no batch has more than one row.
    let batches = shared.batches;
    assert_eq!((batches.rows, batches.batches), (alone.batches.rows, alone.batches.rows));
    // Nano's blocks are noise; what is odd about them is counted and logged.
    assert_eq!(alone.remarks, shared.remarks);
    let log = std::fs::read_to_string(one.directory().join("logs/policy.log")).unwrap();
    let said: u64 = alone.remarks.values().sum();
    assert!(said > 0 && log.lines().count() as u64 == said, "{log}");
    let mixed = short_run(&checkpoint, &["--devices", "cpu", "--device", "cpu"]).go();
    assert_eq!(mixed.code, 2, "{}", mixed.stderr);
}

#[test]
fn what_the_policy_expected_is_saved_beside_what_came() {
    let checkpoint = Checkpoint::make();
    let run = short_run(&checkpoint, &["--save-futures", "--workers", "1", "--trials", "1"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (key, record) = run.records().pop_first().unwrap();
    let folder = run.directory().join("futures").join(key.to_string());
    for call in 0..record.calls {
        let bytes = std::fs::read(folder.join(format!("call-{call:03}.png"))).unwrap();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        // A heading and two views; three columns as wide as the larger one.
        assert_eq!((number(16), number(20)), (4 + 3 * 204, 4 + 22 + 204 + 84), "call {call}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), record.calls as usize);
    refused(&["--policy", "idle", "--save-futures"], &["does not predict future images", "hint: "]);
}

#[test]
fn a_checkpoint_without_views_runs_and_another_target_is_refused() {
    let checkpoint = Checkpoint::of_target("null");
    let run = short_run(&checkpoint, &["--trials", "1"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.manifest().subject.target.as_deref(), Some("null"));
    let with = |words: &[&str], expected: &[&str]| {
        refused(&[&["--checkpoint", &checkpoint.word()][..], words].concat(), expected);
    };
    with(&["--target", "future"], &["`future`", "`null`", "hint: leave `--target` out"]);
    with(&["--save-futures"], &["no future images"]);
    let picture = checkpoint.path().join("masks.png").display().to_string();
    let inspected = udvla(&["inspect", &checkpoint.word(), "--mask", &picture]);
    assert!(inspected.stdout.contains("target null"), "{}", inspected.stdout);
    let words = ["--instruction", "go", "--checkpoint", &checkpoint.word(), "--denoise-steps", "2"];
    let imagined = udvla(&[&["imagine", &picture, &picture][..], &words].concat());
    assert_eq!(imagined.code, 0, "{}", imagined.stderr);
    assert!(imagined.stdout.contains("no image:"), "{}", imagined.stdout);
}

#[test]
fn an_approximate_cache_is_marked_in_every_table() {
    let checkpoint = Checkpoint::make();
    let run = short_run(&checkpoint, &["--prefix-cache", "approximate", "--trials", "1"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.manifest().subject.approximate.as_deref(), Some("prefix cache"));
    let table = std::fs::read_to_string(run.directory().join("tables/summary.md")).unwrap();
    assert!(table.contains("approximate decoding: prefix cache"), "{table}");
    let words = ["--prefix-cache", "approximate", "--attention", "hybrid", "--checkpoint"];
    refused(&[&words[..], &[&checkpoint.word()]].concat(), &["attention `released`", "hint: "]);
}

/// What a program is linked with: the names that its dynamic section lists end in a zero byte.
fn is_linked_with(program: &str, library: &str) -> bool {
    let bytes = std::fs::read(program).unwrap();
    let name = format!("\0{library}\0").into_bytes();
    bytes.windows(name.len()).any(|window| window == name)
}

#[test]
fn only_the_program_with_the_model_is_linked_with_libtorch() {
    let light = env!("CARGO_BIN_EXE_udvla-eval");
    let model = env!("CARGO_BIN_EXE_udvla-eval-model");
    for library in ["libtorch_cpu.so", "libc10.so"] {
        assert!(!is_linked_with(light, library), "{library}");
        assert!(is_linked_with(model, library), "{library}");
    }
    assert!(is_linked_with(light, "libc.so.6"), "the way of asking");
}

#[test]
fn a_program_whose_part_with_the_model_is_missing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("udvla-eval");
    std::fs::copy(env!("CARGO_BIN_EXE_udvla-eval"), &alone).unwrap();
    let ended = |words: &[&str]| {
        let output = std::process::Command::new(&alone).args(words).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, errors) = ended(&["inspect", "nowhere"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("`udvla-eval-model` is not beside"), "{errors}");
    assert_eq!(ended(&["list"]).0, Some(0));
}

/// Peak of resident memory of the program and of the largest process that it waited for, in MB. About
/// 110 of it are libtorch, 40 the weights and their tokenizers.
#[test]
#[expect(clippy::zombie_processes, reason = "`wait4` waits, and tells the memory")]
fn a_small_model_needs_little_memory_whatever_the_number_of_simulators() {
    let checkpoint = Checkpoint::make();
    for workers in ["1", "8"] {
        let run = short_run(
            &checkpoint,
            &["--device", "cpu", "--workers", workers, "--trials", "8", "--quiet"],
        );
        let child = run.start().unwrap();
        let id = libc::pid_t::try_from(child.id()).unwrap();
        let mut status = 0;
        // SAFETY: the structure is plain data; the child is waited for here alone.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::wait4(id, &raw mut status, 0, &raw mut usage), id);
            usage
        };
        assert_eq!((status, run.records().len()), (0, 8));
        let megabytes = usage.ru_maxrss / 1000;
        assert!((100..450).contains(&megabytes), "{workers} workers: {megabytes} MB");
    }
}
