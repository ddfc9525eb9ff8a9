//! `assemble-checkpoint`: a checkpoint from parts in separate folders.

use std::path::Path;

use crate::support::{Checkpoint, Ended, Run, udvla};

/// `assemble-checkpoint OUT` with the parts of `nano`, of which some are replaced.
fn assemble(nano: &Path, out: &Path, benchmark: &str, vision: &str) -> Ended {
    let part = |name: &str| nano.join(name).display().to_string();
    udvla(&[
        "assemble-checkpoint",
        &out.display().to_string(),
        "--model",
        &part("model"),
        "--vision",
        &part(vision),
        "--text",
        &part("text"),
        "--benchmark",
        benchmark,
    ])
}

#[test]
fn parts_from_separate_folders_become_a_checkpoint_that_runs() {
    let nano = Checkpoint::make();
    // Parts move into folders of their own, as downloads do.
    let parts = tempfile::tempdir().unwrap();
    for part in ["model", "vision", "text", "fast", "norm_stats.json"] {
        std::fs::rename(nano.path().join(part), parts.path().join(part)).unwrap();
    }
    let out = parts.path().join("assembled");
    let fast = parts.path().join("fast").display().to_string();
    let stats = parts.path().join("norm_stats.json").display().to_string();
    let ended = assemble(parts.path(), &out, &format!("libero={fast},{stats}"), "vision");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("action ranges `libero`"), "{}", ended.stdout);

    let checkpoint = out.display().to_string();
    let run = Run::fake(&[
        "--trials",
        "1",
        "--task",
        "0",
        "--suite",
        "object",
        "--checkpoint",
        &checkpoint,
    ]);
    let ended = run.go_with(&["--device=cpu", "--denoise-steps=2", "--sim-option=side=256"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 1);

    // A second one is not written over it.
    let ended = assemble(parts.path(), &out, &format!("libero={fast},{stats}"), "vision");
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    assert!(ended.stderr.contains("checkpoint.json` exists"), "{}", ended.stderr);
}

#[test]
fn parts_that_are_missing_or_do_not_fit_leave_no_manifest() {
    let nano = Checkpoint::make();
    let dir = nano.path();
    let [fast, stats] =
        ["fast", "norm_stats.json"].map(|name| dir.join(name).display().to_string());
    for (benchmark, vision, wanted) in [
        (format!("libero={fast},{stats}"), "nowhere", "cannot open"),
        (format!("libero={fast},{stats}"), "model", "was not written"),
        (format!("libero={fast},{stats}:bridge"), "vision", "was not written"),
        (format!("simpler-paper={fast},{stats}"), "vision", "append one of them"),
        (format!("libero={fast},/nowhere.json"), "vision", "cannot open `/nowhere.json`"),
        (format!("metaworld={fast},{stats}"), "vision", "no benchmark `metaworld`"),
        ("libero".into(), "vision", "expected NAME=FAST,STATS"),
    ] {
        let out = dir.join("assembled");
        let ended = assemble(&dir, &out, &benchmark, vision);
        assert_eq!(ended.code, 2, "{benchmark}: {}", ended.stdout);
        assert!(ended.stderr.contains(wanted), "no `{wanted}` in: {}", ended.stderr);
        assert!(!out.exists(), "{benchmark}");
    }
}
