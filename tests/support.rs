//! Starts the program on the fake simulator and reads what it left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use udvla_eval::benchmarks::{self, fetch_command};
use udvla_eval::environment::python;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::seal::{Chain, RecordsEnd, json_digest};
use udvla_sims::episode::EpisodeKey;

/// The files of a benchmark: in `UDVLA_TEST_DATA`, or where a run finds them; `None` after printing
/// why tests are skipped.
pub fn files_of(benchmark: &str) -> Option<PathBuf> {
    let facts = benchmarks::find(benchmark).expect("a benchmark").facts();
    let catalog = (facts.assets.expect("a benchmark with files"))();
    let variable = match benchmark {
        "libero" => "UDVLA_LIBERO_ASSETS",
        "calvin" => "CALVIN_ROOT",
        _ => "SIMPLER_ROOT",
    };
    let data = std::env::var_os("UDVLA_TEST_DATA").map(|data| PathBuf::from(data).join(benchmark));
    let given = std::env::var_os(variable).map(PathBuf::from);
    let fetched = catalog.installed(benchmark).ok();
    let candidates = [data, given, fetched].into_iter().flatten();
    let found = candidates.filter_map(|folder| catalog.locate(&folder).map(|_| folder)).next();
    if found.is_none() {
        let command = fetch_command(benchmark);
        println!("skipped: {benchmark}: its files are not here ({command})");
    }
    found
}

/// The Python of a benchmark's environment, or that of `variable`; `None` after printing why tests
/// are skipped.
pub fn environment_of(benchmark: &str, variable: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let facts = benchmarks::find(benchmark).expect("a benchmark").facts();
    let found = python(facts.environment, given.as_deref());
    if found.is_err() {
        println!("skipped: {benchmark}: no environment (udvla-eval setup {benchmark})");
    }
    found.ok()
}

/// A command that writes to a run directory of its own.
pub struct Run {
    folder: TempDir,
    arguments: Vec<String>,
}

/// What a finished process left.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// `udvla-eval libero` on the fake simulator.
    pub fn fake(arguments: &[&str]) -> Self {
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        let mut words = vec!["libero", "--simulator", fake, "--no-progress"];
        words.extend(arguments);
        Self::new(&words)
    }

    /// Any command that takes `--out`.
    pub fn new(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut arguments: Vec<String> = words.iter().map(|&word| word.into()).collect();
        arguments.extend(["--out".into(), folder.path().join("run").display().to_string()]);
        Self { folder, arguments }
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn command(&self) -> Command {
        program(&self.arguments)
    }

    /// Starts it and leaves it running, without a sound.
    pub fn start(&self) -> std::io::Result<Child> {
        self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// Runs to the end.
    pub fn go(&self) -> Ended {
        ended(self.command().output().expect("the program starts"))
    }

    /// Runs to the end with more words.
    pub fn go_with(&self, words: &[&str]) -> Ended {
        ended(self.command().args(words).output().expect("the program starts"))
    }

    pub fn resume(&self) -> Ended {
        self.resume_with(&[])
    }

    pub fn resume_with(&self, words: &[&str]) -> Ended {
        let directory = self.directory().display().to_string();
        udvla(&[&["resume", "--no-progress", &directory], words].concat())
    }

    pub fn records(&self) -> BTreeMap<EpisodeKey, EpisodeRecord> {
        records(&self.directory())
    }

    pub fn manifest(&self) -> Manifest {
        let text = std::fs::read_to_string(self.directory().join("run.json")).expect("run.json");
        serde_json::from_str(&text).expect("a manifest")
    }
}

/// A shared library of this source in `C`, for the loader.
pub fn shared_library(path: &Path, source: &str) {
    let file = path.with_extension("c");
    std::fs::write(&file, source).unwrap();
    // The linker that Rust needs anyway.
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(path).arg(file);
    assert!(cc.status().unwrap().success());
}

/// The last record of each episode.
pub fn records(directory: &Path) -> BTreeMap<EpisodeKey, EpisodeRecord> {
    let text = std::fs::read_to_string(directory.join("episodes.jsonl")).unwrap_or_default();
    let whole = text.lines().filter(|line| line.ends_with('}'));
    let records = whole.map(|line| serde_json::from_str::<EpisodeRecord>(line).expect(line));
    records.map(|record| (record.key(), record)).collect()
}

/// Changes `run.json` as the program would, with its digest.
pub fn change_manifest(directory: &Path, change: impl FnOnce(&mut Value)) {
    let file = directory.join("run.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("digest");
    change(&mut manifest);
    if manifest.get("id").is_some() {
        manifest["digest"] = json_digest(&manifest).into();
    }
    std::fs::write(&file, manifest.to_string()).unwrap();
}

/// Leaves a run as if it had been killed after its first `count` records.
pub fn keep_records(directory: &Path, count: usize) {
    let file = directory.join("episodes.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: String = text.lines().take(count).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, kept).unwrap();
    killed(directory);
}

/// Leaves a run as if it had been killed at its last record.
pub fn killed(directory: &Path) {
    change_manifest(directory, |manifest| {
        manifest["status"] = "running".into();
        manifest.as_object_mut().unwrap().remove("records");
    });
}

/// Gives a run these records, as if it had written them.
pub fn store_records<'a>(directory: &Path, records: impl Iterator<Item = &'a EpisodeRecord>) {
    let text = std::fs::read_to_string(directory.join("run.json")).unwrap();
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    let mut chain = Chain::new(manifest.id.unwrap(), RecordsEnd::empty());
    let mut lines = String::new();
    for record in records {
        let line = chain.line(&serde_json::to_string(record).unwrap());
        chain.advance(&line);
        lines += &line;
    }
    std::fs::write(directory.join("episodes.jsonl"), lines).unwrap();
    let end = serde_json::to_value(chain.end()).unwrap();
    change_manifest(directory, |manifest| manifest["records"] = end);
}

/// Fails with the first difference unless both runs have equal records.
#[track_caller]
pub fn assert_same_outcomes(
    a: &BTreeMap<EpisodeKey, EpisodeRecord>,
    b: &BTreeMap<EpisodeKey, EpisodeRecord>,
) {
    assert!(!a.is_empty(), "no records to compare");
    assert!(a.keys().eq(b.keys()), "{:?} against {:?}", a.keys(), b.keys());
    for (one, other) in a.values().zip(b.values()) {
        assert!(one.same_outcome(other), "{one:#?}\nagainst\n{other:#?}");
    }
}

/// Waits until `done` holds, and fails after half a minute.
#[track_caller]
pub fn wait_for(mut done: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A synthetic checkpoint in a temporary folder.
#[cfg(feature = "torch")]
pub struct Checkpoint(tempfile::TempDir);

#[cfg(feature = "torch")]
impl Checkpoint {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ended = udvla(&["make-checkpoint", &folder.path().join("nano").display().to_string()]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        Self(folder)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("nano")
    }

    /// The same files once more, to be broken.
    pub fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut open = vec![PathBuf::from("nano")];
        while let Some(next) = open.pop() {
            std::fs::create_dir_all(folder.path().join(&next)).unwrap();
            for entry in std::fs::read_dir(self.0.path().join(&next)).unwrap() {
                let entry = entry.unwrap();
                let name = next.join(entry.file_name());
                match entry.path().is_dir() {
                    true => open.push(name),
                    false => drop(std::fs::copy(entry.path(), folder.path().join(name)).unwrap()),
                }
            }
        }
        Self(folder)
    }

    /// With views that show something else than the future.
    pub fn of_target(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nano = folder.path().join("nano").display().to_string();
        let ended = udvla(&["make-checkpoint", "--target", target, &nano]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        Self(folder)
    }

    pub fn word(&self) -> String {
        self.path().display().to_string()
    }
}

/// Fails unless the fake run is refused with all of `expected`, and leaves nothing behind.
#[cfg(feature = "torch")]
#[track_caller]
pub fn refused(words: &[&str], expected: &[&str]) {
    let run = Run::fake(words);
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
    }
    assert!(!run.directory().exists());
}

/// Runs the program to its end.
pub fn udvla(words: &[&str]) -> Ended {
    let words: Vec<String> = words.iter().map(|&word| word.into()).collect();
    ended(program(&words).output().expect("the program starts"))
}

/// The folder again, as links to its files.
pub fn link_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            link_tree(&entry.path(), &target);
        } else {
            std::os::unix::fs::symlink(entry.path(), target).unwrap();
        }
    }
}

fn program(words: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    command.args(words).stdin(Stdio::null());
    for name in ["UDVLA_CHECKPOINT", "UDVLA_LIBERO_ASSETS", "CALVIN_ROOT", "SIMPLER_ROOT"] {
        command.env_remove(name);
    }
    command
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
