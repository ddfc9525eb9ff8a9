//! Which episode a worker plays next.

use std::collections::{BTreeSet, VecDeque};

use udvla_sims::episode::EpisodeKey;

use super::failure::Failure;

/// An episode to play.
#[derive(Debug)]
pub struct Job {
    /// The episode.
    pub key: EpisodeKey,
    /// Whether an earlier process recorded it as an error.
    pub has_error_record: bool,
    /// Attempts of this process that failed.
    pub failures: u16,
    /// Why the last of them failed.
    pub last_error: Option<Failure>,
}

impl Job {
    /// Whether nothing is known against the episode.
    pub fn is_fresh(&self) -> bool {
        self.failures == 0 && !self.has_error_record
    }
}

/// In which order episodes are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayOrder {
    /// As they come, whatever the workers have loaded.
    Fixed,
    /// So that workers load few tasks.
    ByTask,
}

/// Suite and task that a worker has loaded.
type Task = (String, u16);

/// The episodes that wait, and what the workers have loaded.
#[derive(Debug)]
pub struct Schedule {
    waiting: VecDeque<Job>,
    loaded: Vec<Option<Task>>,
    /// Tasks with an episode that failed, as long as none succeeded since.
    doubtful: BTreeSet<Task>,
    order: PlayOrder,
}

impl Schedule {
    /// A schedule of `episodes` for so many workers; `errors` are those that an earlier process
    /// recorded as errors.
    pub fn new(
        episodes: Vec<EpisodeKey>,
        errors: &BTreeSet<EpisodeKey>,
        workers: usize,
        order: PlayOrder,
    ) -> Self {
        let job = |key| Job {
            has_error_record: errors.contains(&key),
            key,
            failures: 0,
            last_error: None,
        };
        let waiting = episodes.into_iter().map(job).collect();
        Self { waiting, loaded: vec![None; workers], doubtful: BTreeSet::new(), order }
    }

    /// Takes the next episode for a worker: one of the task it has loaded, else one of a task
    /// that no worker has loaded, else one of a task without failures, else any. Episodes that
    /// failed before wait for the end.
    pub fn next(&mut self, worker: usize) -> Option<Job> {
        let index = match self.order {
            PlayOrder::Fixed => 0,
            PlayOrder::ByTask => self.nearest(worker),
        };
        let job = self.waiting.remove(index)?;
        self.loaded[worker] = Some(task(&job.key));
        Some(job)
    }

    fn nearest(&self, worker: usize) -> usize {
        let fresh = |accept: &dyn Fn(&Task) -> bool| {
            self.waiting.iter().position(|job| job.is_fresh() && accept(&task(&job.key)))
        };
        let sound = |accept: &dyn Fn(&Task) -> bool| {
            fresh(&|task| !self.doubtful.contains(task) && accept(task))
        };
        sound(&|task| self.loaded[worker].as_ref() == Some(task))
            .or_else(|| sound(&|task| !self.loaded.iter().flatten().any(|it| it == task)))
            .or_else(|| sound(&|_| true))
            .or_else(|| fresh(&|_| true))
            .unwrap_or(0)
    }

    /// An attempt at an episode failed: its task waits until the others were tried.
    pub fn failed(&mut self, key: &EpisodeKey) {
        self.doubtful.insert(task(key));
    }

    /// An episode ran to its end.
    pub fn succeeded(&mut self, key: &EpisodeKey) {
        self.doubtful.remove(&task(key));
    }

    /// Has an episode wait for another attempt.
    pub fn retry(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Takes back an episode that was not started.
    pub fn put_back(&mut self, job: Job) {
        self.waiting.push_front(job);
    }

    /// Takes out the episodes that failed and wait for another attempt.
    pub fn take_failed(&mut self) -> Vec<Job> {
        let (failed, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|job| job.failures > 0);
        self.waiting = others;
        Vec::from(failed)
    }

    /// A worker is gone, and with it the task it had loaded.
    pub fn unload(&mut self, worker: usize) {
        self.loaded[worker] = None;
    }

    /// Whether no episode waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn task(key: &EpisodeKey) -> Task {
    (key.suite.clone(), key.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episodes(tasks: &[u16]) -> Vec<EpisodeKey> {
        let key = |(trial, &task)| EpisodeKey { suite: "long".into(), task, trial };
        (0..).zip(tasks).map(key).collect()
    }

    fn schedule(tasks: &[u16], workers: usize, order: PlayOrder) -> Schedule {
        Schedule::new(episodes(tasks), &BTreeSet::new(), workers, order)
    }

    fn next(schedule: &mut Schedule, worker: usize) -> Option<(u16, u16)> {
        schedule.next(worker).map(|job| (job.key.task, job.key.trial))
    }

    #[test]
    fn workers_stay_with_their_task_and_share_out_the_others() {
        let mut schedule = schedule(&[0, 0, 0, 1, 1], 2, PlayOrder::ByTask);
        assert_eq!(next(&mut schedule, 0), Some((0, 0)));
        assert_eq!(next(&mut schedule, 1), Some((1, 3)));
        assert_eq!(next(&mut schedule, 1), Some((1, 4)));
        assert_eq!(next(&mut schedule, 1), Some((0, 1)));
        assert_eq!(next(&mut schedule, 0), Some((0, 2)));
        assert!(schedule.is_empty() && schedule.next(0).is_none());
    }

    #[test]
    fn a_fixed_order_ignores_tasks() {
        let mut schedule = schedule(&[0, 1, 0], 1, PlayOrder::Fixed);
        let played: Vec<_> = std::iter::from_fn(|| next(&mut schedule, 0)).collect();
        assert_eq!(played, [(0, 0), (1, 1), (0, 2)]);
    }

    #[test]
    fn an_episode_that_failed_waits_for_the_end() {
        let mut schedule = schedule(&[0, 0, 1], 1, PlayOrder::ByTask);
        let mut job = schedule.next(0).unwrap();
        job.failures = 1;
        schedule.unload(0);
        schedule.retry(job);
        let played: Vec<_> = std::iter::from_fn(|| next(&mut schedule, 0)).collect();
        assert_eq!(played, [(0, 1), (1, 2), (0, 0)]);
    }

    #[test]
    fn a_task_that_fails_waits_until_the_others_were_tried() {
        let mut schedule = schedule(&[0, 0, 0, 1, 2], 1, PlayOrder::ByTask);
        let mut job = schedule.next(0).unwrap();
        job.failures = 1;
        schedule.unload(0);
        schedule.failed(&job.key);
        schedule.retry(job);
        assert_eq!(next(&mut schedule, 0), Some((1, 3)));
        assert_eq!(next(&mut schedule, 0), Some((2, 4)));
        assert_eq!(next(&mut schedule, 0), Some((0, 1)));
        let failed: Vec<_> = schedule.take_failed().into_iter().map(|job| job.key.trial).collect();
        assert_eq!(failed, [0]);
        assert_eq!(next(&mut schedule, 0), Some((0, 2)));
        assert!(schedule.is_empty());
    }

    #[test]
    fn an_error_of_an_earlier_process_waits_for_the_end_too() {
        let episodes = episodes(&[0, 0, 1]);
        let errors = BTreeSet::from([episodes[0].clone()]);
        let mut schedule = Schedule::new(episodes, &errors, 1, PlayOrder::ByTask);
        let played: Vec<_> = std::iter::from_fn(|| next(&mut schedule, 0)).collect();
        assert_eq!(played, [(0, 1), (1, 2), (0, 0)]);
    }
}
