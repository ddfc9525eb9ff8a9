//! The command line: help that fits a screen, pages made from it, names of flags.

use crate::support::udvla;

#[test]
fn short_help_of_a_benchmark_fits_one_screen() {
    for benchmark in ["libero", "calvin", "simpler"] {
        let help = udvla(&[benchmark, "-h"]).stdout;
        let lines = help.lines().count();
        assert!(lines <= 50, "`{benchmark} -h` has {lines} lines:\n{help}");
        let headings = ["Episodes:", "Simulator:", "Policy:", "Workers:", "Output:"];
        for heading in headings {
            assert!(help.contains(heading), "no `{heading}` in:\n{help}");
        }
    }
}

#[test]
fn long_help_shows_every_flag() {
    let help = udvla(&["libero", "--help"]).stdout;
    for flag in
        ["--reset-mode", "--retries", "--step-timeout", "--batch-wait", "--python", "--instruction"]
    {
        assert!(help.contains(flag), "no `{flag}` in:\n{help}");
        assert!(!udvla(&["libero", "-h"]).stdout.contains(flag), "`{flag}` in the short help");
    }
}

/// `udvla-eval reference > docs/cli.md` brings the page up to date.
#[cfg(feature = "torch")]
#[test]
fn the_command_reference_is_up_to_date() {
    let now = udvla(&["reference"]).stdout;
    let page = include_str!("../docs/cli.md");
    let difference = now.lines().zip(page.lines()).find(|(now, page)| now != page);
    assert_eq!(difference, None, "run `udvla-eval reference > docs/cli.md`");
    assert_eq!(now.lines().count(), page.lines().count(), "docs/cli.md has another length");
}

#[test]
fn completions_and_man_pages_cover_the_registered_benchmarks() {
    let script = udvla(&["completions", "bash"]).stdout;
    assert!(script.contains("libero") && script.contains("--suite"), "{script}");
    let folder = tempfile::tempdir().unwrap();
    let ended = udvla(&["man", &folder.path().join("man1").display().to_string()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let page = std::fs::read_to_string(folder.path().join("man1/udvla-eval-calvin.1")).unwrap();
    assert!(page.contains("rollouts"), "{page}");
}

#[test]
fn doctor_takes_the_flags_of_its_benchmark() {
    let help = udvla(&["doctor", "calvin", "-h"]).stdout;
    assert!(help.contains("--calvin-root") && help.contains("--frames"), "{help}");
    let help = udvla(&["doctor", "-h"]).stdout;
    assert!(help.contains("--json") && help.contains("simpler"), "{help}");
    assert!(!help.contains("--calvin-root"), "{help}");
}
