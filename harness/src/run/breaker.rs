//! When failures mean that the simulator is broken, and not some of its episodes.

use std::collections::BTreeSet;

use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;

/// Failures in a row, per worker, after which a run gives up.
const PER_WORKER: usize = 3;
/// The least number of such failures: so many unrunnable episodes may come one after another.
const AT_LEAST: usize = 6;

/// Suite and task of an episode.
type Task = (String, u16);

/// Counts different episodes that fail one after another, each at its first attempt.
///
/// Retries do not count, nor does a task whose failures were followed by a success in another task:
/// there, the task is at fault. So unrunnable episodes, even whole tasks of them, become errors and
/// the run ends, while a simulator that runs nothing any more ends it early.
#[derive(Debug)]
pub struct Breaker {
    limit: usize,
    streak: BTreeSet<EpisodeKey>,
    faulty: BTreeSet<Task>,
}

impl Breaker {
    /// A breaker for so many workers, of a run that has these records already.
    pub fn new<'a>(workers: usize, before: impl Iterator<Item = &'a EpisodeRecord>) -> Self {
        let (ok, errors): (Vec<_>, Vec<_>) = before.partition(|it| it.status == Status::Ok);
        let sound: BTreeSet<Task> = ok.iter().map(|record| task(&record.key())).collect();
        let failing = errors.iter().map(|record| task(&record.key()));
        let faulty = failing.filter(|it| !sound.is_empty() && !sound.contains(it)).collect();
        Self { limit: AT_LEAST.max(PER_WORKER * workers), streak: BTreeSet::new(), faulty }
    }

    /// The first attempt at an episode without a record failed.
    pub fn failed(&mut self, key: &EpisodeKey) {
        if !self.faulty.contains(&task(key)) {
            self.streak.insert(key.clone());
        }
    }

    /// An episode ran to its end.
    pub fn succeeded(&mut self, key: &EpisodeKey) {
        self.faulty.extend(std::mem::take(&mut self.streak).iter().map(task));
        self.faulty.remove(&task(key));
    }

    /// How many episodes failed in a row, if that is too many.
    pub fn tripped(&self) -> Option<usize> {
        let count = self.streak.len();
        (count >= self.limit).then_some(count)
    }
}

fn task(key: &EpisodeKey) -> Task {
    (key.suite.clone(), key.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(task: u16, trial: u16) -> EpisodeKey {
        EpisodeKey { suite: "long".into(), task, trial }
    }

    fn breaker(workers: usize) -> Breaker {
        Breaker::new(workers, std::iter::empty())
    }

    #[test]
    fn different_episodes_in_a_row_trip_it_and_a_success_starts_anew() {
        let mut breaker = breaker(3);
        (0..8).for_each(|trial| breaker.failed(&key(0, trial)));
        breaker.failed(&key(0, 7));
        assert_eq!(breaker.tripped(), None);
        breaker.succeeded(&key(0, 8));
        (9..18).for_each(|trial| breaker.failed(&key(0, trial)));
        assert_eq!(breaker.tripped(), Some(9));
    }

    #[test]
    fn one_worker_may_meet_five_unrunnable_episodes_first() {
        let mut breaker = breaker(1);
        (0..5).for_each(|trial| breaker.failed(&key(trial, 0)));
        assert_eq!(breaker.tripped(), None);
        breaker.failed(&key(5, 0));
        assert_eq!(breaker.tripped(), Some(6));
    }

    #[test]
    fn a_task_that_fails_while_others_run_counts_no_more() {
        let mut breaker = breaker(1);
        breaker.failed(&key(3, 0));
        breaker.succeeded(&key(4, 0));
        (1..50).for_each(|trial| breaker.failed(&key(3, trial)));
        assert_eq!(breaker.tripped(), None);
        breaker.succeeded(&key(3, 0));
        (1..7).for_each(|trial| breaker.failed(&key(3, trial)));
        assert_eq!(breaker.tripped(), Some(6), "a task that ran once is no longer at fault");
    }
}
