//! The episodes that are being played, a line each.

use std::collections::BTreeMap;

use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_results::tables::format::shorten;
use udvla_sims::episode::EpisodeKey;

use crate::plan::Plan;

/// Columns of a line, at most.
const WIDTH: usize = 79;

/// What the lines say about a task.
#[derive(Debug, Clone, Default)]
struct Task {
    instruction: String,
    stages: u16,
    /// Control steps of one stage, at most; 0 where it is not known.
    limit: u32,
}

/// How far an episode is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    stage: u16,
    steps: u32,
    /// Steps that the stages before took.
    before: u32,
}

/// The running episodes of a run.
#[derive(Debug, Default)]
pub struct Running {
    tasks: BTreeMap<(String, u16), Task>,
    episodes: BTreeMap<EpisodeKey, Progress>,
}

impl Running {
    /// None yet, of the tasks of `plan`.
    pub fn of(plan: &Plan) -> Self {
        let task = |planned: &udvla_results::run::manifest::PlannedTask| {
            let limit = plan.protocol.suite(&planned.suite).map_or(0, |suite| {
                let named = suite.details.named_tasks();
                named.get(usize::from(planned.task)).map_or(suite.max_steps, |task| task.max_steps)
            });
            let (instruction, stages) = (planned.instruction.clone(), planned.stages);
            ((planned.suite.clone(), planned.task), Task { instruction, stages, limit })
        };
        Self { tasks: plan.tasks.iter().map(task).collect(), episodes: BTreeMap::new() }
    }

    /// Episodes that are being played.
    pub(super) fn count(&self) -> usize {
        self.episodes.len()
    }

    pub(super) fn start(&mut self, key: &EpisodeKey) {
        self.episodes.insert(key.clone(), Progress::default());
    }

    pub(super) fn end(&mut self, key: &EpisodeKey) {
        self.episodes.remove(key);
    }

    /// An episode has completed `stage` stages and played `steps` control steps.
    pub(super) fn advance(&mut self, key: &EpisodeKey, stage: u16, steps: u32) {
        let Some(progress) = self.episodes.get_mut(key) else { return };
        if stage > progress.stage {
            progress.before = steps;
        }
        *progress = Progress { stage, steps, ..*progress };
    }

    /// `long-task03-trial007  step 231 of 520  put the black bowl in…`
    pub(super) fn line(&self, key: &EpisodeKey) -> String {
        let task = self.task(key);
        let Progress { stage, steps, before } = self.episodes.get(key).copied().unwrap_or_default();
        let stage = match task.stages {
            0 | 1 => String::new(),
            stages => format!("sub-task {} of {stages}, ", (stage + 1).min(stages)),
        };
        let of = if task.limit > 0 { format!(" of {}", task.limit) } else { String::new() };
        let steps = steps.saturating_sub(before);
        shorten(&format!("{key}  {stage}step {steps}{of}  {}", task.instruction), WIDTH)
    }

    /// `long-task03-trial007: solved after 231 steps`.
    pub(super) fn outcome(record: &EpisodeRecord) -> String {
        let EpisodeRecord { stages, stages_completed, steps, .. } = record;
        let outcome = match (record.status, *stages) {
            (Status::Error, _) => return format!("{}: error", record.key()),
            (Status::Ok, 0 | 1) if record.success() == Some(true) => "solved".to_owned(),
            (Status::Ok, 0 | 1) => "not solved".to_owned(),
            (Status::Ok, stages) => format!("{stages_completed} of {stages} sub-tasks"),
        };
        format!("{}: {outcome} after {steps} steps", record.key())
    }

    fn task(&self, key: &EpisodeKey) -> Task {
        self.tasks.get(&(key.suite.clone(), key.task)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_task_and_step_and_counts_the_steps_of_a_chain_by_stage() {
        let task = |stages, limit| Task { instruction: "do it ".repeat(20), stages, limit };
        let tasks = BTreeMap::from([
            (("long".to_owned(), 3), task(1, 520)),
            (("abcd-d".to_owned(), 0), task(5, 360)),
        ]);
        let mut running = Running { tasks, episodes: BTreeMap::new() };
        let [long, chain] = [("long", 3), ("abcd-d", 0)].map(|(suite, task)| EpisodeKey {
            suite: suite.into(),
            task,
            trial: 7,
        });
        running.start(&long);
        running.start(&chain);
        running.advance(&long, 0, 231);
        running.advance(&chain, 0, 100);
        running.advance(&chain, 1, 110);
        running.advance(&chain, 1, 150);
        let line = running.line(&long);
        assert!(line.starts_with("long-task03-trial007  step 231 of 520  do it"), "{line}");
        assert!(line.ends_with('…') && line.chars().count() <= WIDTH, "{line}");
        let line = running.line(&chain);
        assert!(line.starts_with("abcd-d-task00-trial007  sub-task 2 of 5, step 40 of 360"));
        running.end(&long);
        assert_eq!(running.count(), 1);
    }
}
