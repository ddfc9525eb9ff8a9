//! The command line of `udvla-golden`.

use std::process::Command;

/// Exit code, standard output and standard error.
fn golden(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_udvla-golden")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn files_that_cannot_be_compared_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let fast = r#"{"kind": "fast", "cases": [{"tokenizer": "none_t5", "ids": [1]}]}"#;
    for (text, wanted) in [
        (fast, "`none_t5` is not at hand"),
        (r#"{"kind": "rain"}"#, "jd3p"),
        ("[]", "`kind` is null"),
        ("{", "not JSON"),
        (r#"{"kind": "loss"}"#, "input_ids"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (code, stdout, stderr) =
            golden(&["--tokenizers", "/nowhere", &path.display().to_string()]);
        assert_eq!(code, Some(2), "{text}: {stdout}");
        assert!(stderr.contains(wanted), "no `{wanted}` in: {stderr}");
        assert!(!stdout.contains("equal"), "{stdout}");
    }
    let (code, _, stderr) = golden(&["/nowhere/a.json"]);
    assert_eq!(code, Some(2), "{stderr}");
}
