//! Faults, drawn from a seed, on runs with the fake simulator; a shorter set on the real ones.
//!
//! Whatever hits a run: one record per episode, outcomes equal to those of an undisturbed run, an
//! error only where the retries ran out; no panic, no process that is left, none that hangs.
//!
//! `UDVLA_CHAOS_FAULTS` is how many faults are injected at least, `UDVLA_CHAOS_SEED` the seed of
//! the first case, `UDVLA_CHAOS_CASE` the seed of the only one. `UDVLA_CHAOS_WRITE` writes the
//! table of `docs/reliability.md`.

mod case;
mod conditions;
mod inject;
mod kinds;
mod outcomes;
mod play;
mod processes;
mod real;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use case::{Case, SCENARIOS};
use kinds::KINDS;
use outcomes::Outcomes;
use play::{Calm, Limits, Play};
use processes::Process;
use trace::Trace;

/// Faults without `UDVLA_CHAOS_FAULTS`: enough to see that nothing is broken.
const FEW: usize = 100;
/// Cases that are played at once: they mostly wait.
const AT_ONCE: usize = 8;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// A folder for all cases; in memory where there is such a place, since cases sync thousands of
/// times.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

/// A scenario on the fake simulator.
fn fake(folder: &Path, scenario: &[&str]) -> Calm {
    let program = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let fixed = ["--policy", "random", "--no-progress", "--simulator", program];
    let words = scenario.iter().chain(&fixed).map(|&word| word.to_owned()).collect();
    calm(folder, words, Limits { step: 2, start: 6, process: 90 })
}

/// Runs a command undisturbed.
fn calm(folder: &Path, words: Vec<String>, limits: Limits) -> Calm {
    let directory = folder.join(format!("calm-{}", words[0]));
    let out = ["--out".to_owned(), directory.display().to_string()];
    let start = |words: &[String]| Process::start(words, "calm", &directory, |_| Ok(()));
    let mut process = start(&[&words[..], &out].concat()).expect("it starts");
    let status = loop {
        match process.ended() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let printed = std::fs::read_to_string(&process.stderr).unwrap_or_default();
    assert!(status.success(), "an undisturbed run failed: {printed}");
    let outcomes = Outcomes::read(&directory).expect("an undisturbed run can be read");
    Calm { words, limits, episodes: outcomes.records.keys().cloned().collect(), outcomes }
}

/// What all cases of a test share.
struct Cases {
    folder: PathBuf,
    calms: [Calm; SCENARIOS.len()],
}

impl Cases {
    fn new(folder: &Path) -> Self {
        conditions::compile_clock(folder).expect("`cc` compiles a small library");
        Self { folder: folder.to_owned(), calms: SCENARIOS.map(|words| fake(folder, words)) }
    }

    /// Plays the case of a seed.
    fn play(&self, seed: u64) -> (Trace, Result<(), String>) {
        let episodes = [0, 1, 2].map(|scenario: usize| self.calms[scenario].episodes.len());
        let case = Case::new(seed, &episodes);
        play(&case, &self.calms[case.scenario], &self.folder, seed)
    }
}

/// Plays a case in a thread of its own, which may have its own file system.
fn play(case: &Case, calm: &Calm, shared: &Path, seed: u64) -> (Trace, Result<(), String>) {
    let folder = shared.join(format!("case-{seed}"));
    std::fs::create_dir(&folder).expect("a case has a folder of its own");
    let mut play = Play {
        case,
        calm,
        shared: shared.to_owned(),
        folder: folder.clone(),
        // Short enough for the name of a process.
        mark: format!("c{:x}-{:x}", std::process::id(), seed & 0xff_ffff),
        rng: Rng::with_seed(!seed),
        trace: Trace::default(),
    };
    let result = std::thread::scope(|scope| scope.spawn(|| play.go()).join());
    let result = result.unwrap_or_else(|_| Err("the injector panicked".into()));
    let _ = std::fs::remove_dir_all(folder);
    (play.trace, result)
}

/// Faults that were delivered, by kind, and the reports of cases that went wrong.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    cases: usize,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, seed: u64, trace: &Trace, result: Result<(), String>) {
        self.cases += 1;
        trace.delivered.iter().for_each(|kind| *self.counts.entry(kind.name).or_default() += 1);
        if let Err(text) = result {
            let again = format!("UDVLA_CHAOS_CASE={seed} just chaos");
            self.failures.push(format!("case {seed}: {text}\n{trace}  again: {again}\n"));
        }
    }

    fn faults(&self) -> usize {
        self.counts.values().sum()
    }
}

/// Plays cases until `faults` faults were injected.
fn play_until(faults: usize, first: u64) -> Tally {
    let folder = folder();
    let cases = Cases::new(folder.path());
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while tally.lock().unwrap().faults() < faults {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let (trace, result) = cases.play(seed);
                    tally.lock().unwrap().add(seed, &trace, result);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

#[test]
fn whatever_hits_a_run_its_records_are_those_of_an_undisturbed_one() {
    let begun = Instant::now();
    if let Some(seed) = variable("UDVLA_CHAOS_CASE") {
        let folder = folder();
        let (trace, result) = Cases::new(folder.path()).play(seed);
        println!("{trace}");
        return result.unwrap_or_else(|text| panic!("case {seed}: {text}"));
    }
    let faults = variable("UDVLA_CHAOS_FAULTS").unwrap_or(FEW);
    let tally = play_until(faults, variable("UDVLA_CHAOS_SEED").unwrap_or(1));
    let table = table::table(&tally.counts);
    println!("{table}\n{} cases in {:.0?}", tally.cases, begun.elapsed());
    let failed = tally.failures.len();
    assert!(failed == 0, "{failed} of {} cases: {}", tally.cases, tally.failures.join("\n"));
    if std::env::var_os("UDVLA_CHAOS_WRITE").is_some() {
        let page = std::fs::read_to_string(table::page()).expect("the page is there");
        let page = table::replaced(&page, &table).expect("the page has the marks of the table");
        std::fs::write(table::page(), page).expect("the page can be written");
    }
}

#[test]
fn a_seed_decides_a_case_and_a_few_hundred_seeds_draw_every_kind() {
    let case = |seed| Case::new(seed, &[20, 14, 16]);
    let text = |seed| format!("{:?}", case(seed));
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
    let drawn: Vec<String> = (0..600).map(text).collect();
    for kind in KINDS {
        let name = format!("name: {:?}", kind.name);
        assert!(drawn.iter().any(|case| case.contains(&name)), "{} is never drawn", kind.name);
    }
}

#[test]
fn the_page_on_reliability_has_the_kinds_that_are_injected() {
    let page = std::fs::read_to_string(table::page()).expect("docs/reliability.md is there");
    let rows = table::rows(&page).expect("it has the marks of the table");
    let table = table::table(&BTreeMap::new());
    let marked = table::replaced(&page, &table).and_then(|page| table::rows(&page));
    assert_eq!(Some(rows), marked, "`just chaos-table` writes the table");
}
