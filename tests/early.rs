//! Runs that stop early.

use crate::support::{Run, udvla};

const WORDS: [&str; 4] = ["--suite", "long", "--trials", "6"];

fn text(run: &Run) -> String {
    run.directory().display().to_string()
}

#[test]
fn a_worse_policy_stops_early_says_so_and_can_be_completed() {
    let baseline = Run::fake(&[&WORDS[..], &["--policy", "random"]].concat());
    assert_eq!(baseline.go().code, 0);
    let idle = [&WORDS[..], &["--policy", "idle", "--workers", "3"]].concat();
    let run = Run::fake(&[&idle[..], &["--stop-early", &text(&baseline)]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("below the baseline run after"), "{}", ended.stderr);
    let manifest = run.manifest();
    let stop = manifest.stopped_early.expect("the manifest says why");
    assert_eq!(stop.direction, "below");
    let played = run.records().len() as u32;
    // Running episodes were finished: at most one per worker more than were counted, and those
    // that overtook.
    assert!(stop.episodes <= played && played < 60, "{stop:?}, {played} played");
    assert!(ended.stdout.contains("stopped early"), "{}", ended.stdout);

    let gate = udvla(&["gate", &text(&run), "--baseline", &text(&baseline)]);
    assert_eq!(gate.code, 2);
    assert!(gate.stderr.contains("stopped early"), "{}", gate.stderr);
    // Its own command stops it again at once.
    let again = run.resume();
    assert_eq!((again.code, run.records().len() as u32), (0, played), "{}", again.stderr);
    let out = text(&run);
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let rest = ["libero", "--simulator", fake, "--no-progress", "--out", &out];
    let ended = udvla(&[&rest[..], &idle].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!((run.records().len(), run.manifest().stopped_early), (60, None));
}

#[test]
fn an_equal_policy_plays_to_the_end() {
    let baseline = Run::fake(&[&WORDS[..], &["--policy", "random"]].concat());
    assert_eq!(baseline.go().code, 0);
    let words = ["--policy", "random", "--stop-early", &text(&baseline)];
    let run = Run::fake(&[&WORDS[..], &words].concat());
    assert_eq!(run.go().code, 0);
    assert_eq!((run.records().len(), run.manifest().stopped_early), (60, None));
}

#[test]
fn what_cannot_be_a_reference_is_refused_before_an_episode() {
    for (reference, expected) in
        [("paper", "fake simulator"), ("no-such-run.json", "is not a baseline")]
    {
        let run =
            Run::fake(&[&WORDS[..], &["--policy", "idle", "--stop-early", reference]].concat());
        let ended = run.go();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert!(run.records().is_empty() && !run.directory().exists());
    }
}
