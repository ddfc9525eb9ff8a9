//! Which episode a worker plays next.

use std::collections::VecDeque;

use udvla_sims::episode::EpisodeKey;

/// An episode that has no record yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The episode.
    pub key: EpisodeKey,
    /// Attempts that failed.
    pub failures: u16,
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
    order: PlayOrder,
}

impl Schedule {
    /// A schedule of `episodes` for so many workers.
    pub fn new(episodes: Vec<EpisodeKey>, workers: usize, order: PlayOrder) -> Self {
        let waiting = episodes.into_iter().map(|key| Job { key, failures: 0 }).collect();
        Self { waiting, loaded: vec![None; workers], order }
    }

    /// Takes the next episode for a worker: one of the task it has loaded, else one of a task
    /// that no worker has loaded, else the first. Episodes that failed before wait for the end.
    pub fn next(&mut self, worker: usize) -> Option<Job> {
        let first = |accept: &dyn Fn(&Task) -> bool| {
            self.waiting.iter().position(|job| job.failures == 0 && accept(&task(job)))
        };
        let index = match self.order {
            PlayOrder::Fixed => 0,
            PlayOrder::ByTask => first(&|task| self.loaded[worker].as_ref() == Some(task))
                .or_else(|| first(&|task| !self.loaded.iter().flatten().any(|it| it == task)))
                .unwrap_or(0),
        };
        let job = self.waiting.remove(index)?;
        self.loaded[worker] = Some(task(&job));
        Some(job)
    }

    /// Has an episode wait for another attempt.
    pub fn retry(&mut self, job: Job) {
        self.waiting.push_back(job);
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

fn task(job: &Job) -> Task {
    (job.key.suite.clone(), job.key.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episodes(tasks: &[u16]) -> Vec<EpisodeKey> {
        let key = |(trial, &task)| EpisodeKey { suite: "long".into(), task, trial };
        (0..).zip(tasks).map(key).collect()
    }

    fn next(schedule: &mut Schedule, worker: usize) -> Option<(u16, u16)> {
        schedule.next(worker).map(|job| (job.key.task, job.key.trial))
    }

    #[test]
    fn workers_stay_with_their_task_and_share_out_the_others() {
        let mut schedule = Schedule::new(episodes(&[0, 0, 0, 1, 1]), 2, PlayOrder::ByTask);
        assert_eq!(next(&mut schedule, 0), Some((0, 0)));
        assert_eq!(next(&mut schedule, 1), Some((1, 3)));
        assert_eq!(next(&mut schedule, 1), Some((1, 4)));
        assert_eq!(next(&mut schedule, 1), Some((0, 1)));
        assert_eq!(next(&mut schedule, 0), Some((0, 2)));
        assert!(schedule.is_empty() && schedule.next(0).is_none());
    }

    #[test]
    fn a_fixed_order_ignores_tasks() {
        let mut schedule = Schedule::new(episodes(&[0, 1, 0]), 1, PlayOrder::Fixed);
        let played: Vec<_> = std::iter::from_fn(|| next(&mut schedule, 0)).collect();
        assert_eq!(played, [(0, 0), (1, 1), (0, 2)]);
    }

    #[test]
    fn an_episode_that_failed_waits_for_the_end() {
        let mut schedule = Schedule::new(episodes(&[0, 0, 1]), 1, PlayOrder::ByTask);
        let mut job = schedule.next(0).unwrap();
        job.failures = 1;
        schedule.unload(0);
        schedule.retry(job);
        let played: Vec<_> = std::iter::from_fn(|| next(&mut schedule, 0)).collect();
        assert_eq!(played, [(0, 1), (1, 2), (0, 0)]);
    }
}
