//! A case: a run on the fake simulator and the faults that hit it, all drawn from one seed.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;

use crate::kinds::{Change, Condition, Cost, KINDS, Kind, Means};

/// What is run; every case of a scenario has the same outcomes.
pub const SCENARIOS: [&[&str]; 3] = [
    &["libero", "--suite", "long", "--trials", "2"],
    &["calvin", "--rollouts", "14"],
    &["simpler", "--trials", "4"],
];

/// A run and its faults.
#[derive(Debug)]
pub struct Case {
    /// Index in [`SCENARIOS`].
    pub scenario: usize,
    pub workers: usize,
    pub retries: u16,
    /// Milliseconds per control step of the fake simulator; `None` for a real one.
    pub step_ms: Option<u32>,
    /// Faults of single episodes, by the episode's index.
    pub listed: Vec<(&'static Kind, usize)>,
    /// Faults of every worker.
    pub everywhere: Vec<&'static Kind>,
    /// Processes, one after the other; the last one completes the run.
    pub phases: Vec<Phase>,
}

/// One process.
#[derive(Debug, Default)]
pub struct Phase {
    /// What it finds at its start.
    pub condition: Option<&'static Kind>,
    /// Faults while it runs.
    pub acts: Vec<Act>,
    /// How the directory is changed before it starts.
    pub change: Option<&'static Kind>,
    /// How it is started, where there is a run already.
    pub again: Again,
}

/// How a run is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Again {
    #[default]
    SameCommand,
    Resume,
}

/// A fault and its moment.
#[derive(Debug)]
pub struct Act {
    pub kind: &'static Kind,
    pub when: When,
}

/// A moment of a process.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// Some time after its start.
    Age(Duration),
    /// Some time after so many more records.
    Records(usize, Duration),
}

impl Case {
    /// The case of a seed; `episodes` are the episodes of each scenario.
    pub fn new(seed: u64, episodes: &[usize; SCENARIOS.len()]) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let scenario = rng.usize(..SCENARIOS.len());
        // A fault that always comes back is told apart from faults that use up retries.
        let unrunnable = rng.u8(..16) == 0;
        let cost = if unrunnable { Cost::Episode } else { Cost::Attempt };
        let mut order: Vec<usize> = (0..episodes[scenario]).collect();
        rng.shuffle(&mut order);
        order.truncate(if unrunnable { rng.usize(1..4) } else { rng.usize(2..6) });
        let switches = of(|means| matches!(means, Means::Switch(_, it) if *it == cost));
        let listed = order.into_iter().map(|episode| (pick(rng, &switches), episode)).collect();
        let everywhere = of(|means| matches!(means, Means::Option(_)));
        let everywhere = if rng.u8(..4) == 0 { vec![pick(rng, &everywhere)] } else { vec![] };
        let processes = if unrunnable { rng.usize(1..3) } else { rng.usize(1..5) };
        let mut phases: Vec<Phase> =
            (1..processes).map(|_| Phase::that_ends(rng, unrunnable)).collect();
        phases.push(Phase::that_completes(rng, unrunnable));
        phases[0].change = None;
        for at in 1..phases.len() {
            let killed = |act: &Act| act.kind.means == Means::Orchestrator(&[libc::SIGKILL]);
            if phases[at - 1].acts.iter().any(killed) {
                // What a kill or a power cut leaves; nothing else may change the records.
                phases[at].change =
                    Some(pick(rng, &of(|means| matches!(means, Means::Directory(_)))));
            }
        }
        Self {
            scenario,
            workers: rng.usize(2..4),
            retries: if unrunnable { 1 } else { 9 },
            step_ms: Some(rng.u32(1..3)),
            listed,
            everywhere,
            phases,
        }
    }

    /// Whether some episodes can never run.
    pub fn is_unrunnable(&self) -> bool {
        self.listed.iter().any(|(kind, _)| matches!(kind.means, Means::Switch(_, Cost::Episode)))
    }

    /// Whether a process of it finds a small disk.
    pub fn has_small_disk(&self) -> bool {
        let small = Means::Condition(Condition::SmallDisk);
        let condition = |phase: &Phase| phase.condition.is_some_and(|kind| kind.means == small);
        self.phases.iter().any(condition)
    }
}

impl Phase {
    /// A process that a fault ends, in most cases before the run is complete.
    fn that_ends(rng: &mut Rng, calm: bool) -> Self {
        let mut phase = Self::base(rng, calm);
        if rng.u8(..4) == 0 {
            phase.condition = Some(pick(rng, &of(ends)));
        } else {
            let signals = of(|means| matches!(means, Means::Orchestrator(_)));
            phase.acts.push(Act { kind: pick(rng, &signals), when: moment(rng) });
        }
        phase
    }

    /// A process that nothing keeps from completing the run.
    fn that_completes(rng: &mut Rng, calm: bool) -> Self {
        let mut phase = Self::base(rng, calm);
        if rng.u8(..3) == 0 {
            let harmless = of(|means| matches!(means, Means::Condition(_)) && !ends(means));
            phase.condition = Some(pick(rng, &harmless));
        }
        phase
    }

    /// Faults that no process may end of; `calm`: that cost no attempt either.
    fn base(rng: &mut Rng, calm: bool) -> Self {
        let mut acts = vec![];
        if !calm {
            let workers = of(|means| matches!(means, Means::Worker(_) | Means::WorkerPause));
            for _ in 0..rng.u8(..3) {
                acts.push(Act { kind: pick(rng, &workers), when: moment(rng) });
            }
        }
        if rng.u8(..3) == 0 {
            let beside = of(|means| matches!(means, Means::Beside(_) | Means::OrchestratorPause));
            let when = When::Records(rng.usize(1..4), Duration::ZERO);
            acts.push(Act { kind: pick(rng, &beside), when });
        }
        let changes = of(|means| matches!(means, Means::Directory(_)));
        let change = rng.bool().then(|| pick(rng, &changes));
        let again = if rng.bool() { Again::Resume } else { Again::SameCommand };
        Self { condition: None, acts, change, again }
    }
}

/// Whether a process may end of it.
fn ends(means: &Means) -> bool {
    use Condition::{FewDescriptors, SmallDisk, SmallFiles};
    matches!(means, Means::Condition(SmallDisk | SmallFiles | FewDescriptors))
}

/// Half of all faults hit the first half second, where a run is set up.
fn moment(rng: &mut Rng) -> When {
    let delay = Duration::from_millis(rng.u64(..40));
    if rng.bool() {
        When::Age(Duration::from_millis(rng.u64(..500)))
    } else {
        When::Records(rng.usize(..8), delay)
    }
}

fn of(wanted: impl Fn(&Means) -> bool) -> Vec<&'static Kind> {
    KINDS.iter().filter(|kind| wanted(&kind.means)).collect()
}

fn pick(rng: &mut Rng, from: &[&'static Kind]) -> &'static Kind {
    from[rng.usize(..from.len())]
}

/// Changes the files of a run between two processes. Whether there was something to change.
pub fn change(directory: &Path, change: Change, rng: &mut Rng) -> std::io::Result<bool> {
    let records = directory.join("episodes.jsonl");
    let Ok(mut bytes) = std::fs::read(&records) else { return Ok(false) };
    // The end of the records of a run that was not killed is known: a change is damage there.
    if change != Change::Leftovers && !is_running(directory) {
        return Ok(false);
    }
    match change {
        Change::TornLine => {
            let Some(whole) = bytes.strip_suffix(b"\n") else { return Ok(false) };
            let last = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(rng.usize(last + 1..=whole.len()));
            std::fs::write(records, bytes)?;
        }
        Change::Zeros => {
            bytes.resize(bytes.len() + rng.usize(1..5000), 0);
            std::fs::write(records, bytes)?;
        }
        Change::Garbage => {
            bytes.extend(std::iter::repeat_with(|| rng.u8(..)).take(200).filter(|b| *b != b'\n'));
            std::fs::write(records, bytes)?;
        }
        Change::Leftovers => {
            std::fs::write(directory.join(".tmpQ1w2E3"), b"{\"half\": ")?;
            if directory.join("run.json").exists() {
                std::fs::write(directory.join("actions/.tmpR4t5Y6"), b"")?;
            }
            std::fs::create_dir_all(directory.join("scratch/worker-00"))?;
            std::fs::write(directory.join("scratch/worker-00/left"), b"behind")?;
        }
    }
    Ok(true)
}

/// Whether the manifest says that the run goes on, which after its end means that it was killed.
pub fn is_running(directory: &Path) -> bool {
    let text = std::fs::read(directory.join("run.json")).unwrap_or_default();
    let manifest = serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default();
    manifest["status"] == "running"
}
