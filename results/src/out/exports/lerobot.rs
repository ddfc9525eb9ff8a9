//! `eval_info.json` as `lerobot-eval` writes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ExportError, Provenance, json};
use crate::run::benchmarks::lerobot_group;
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::statistics::wilson;
use crate::tables::counts::Counts;

#[derive(Serialize)]
struct EvalInfo<'a> {
    per_task: Vec<Task>,
    per_group: BTreeMap<String, Means>,
    overall: Overall,
    udvla_eval: Provenance<'a>,
}

#[derive(Serialize)]
struct Task {
    task_group: String,
    task_id: u16,
    metrics: Lists,
    n_episodes: usize,
    n_success: usize,
    pc_success: f64,
    pc_success_ci95: [f64; 2],
}

#[derive(Default, Serialize)]
struct Lists {
    sum_rewards: Vec<f64>,
    max_rewards: Vec<f64>,
    successes: Vec<bool>,
    video_paths: Vec<String>,
}

#[derive(Serialize)]
struct Means {
    avg_sum_reward: f64,
    avg_max_reward: f64,
    pc_success: f64,
    pc_success_ci95: [f64; 2],
    n_episodes: usize,
    n_success: usize,
    video_paths: Vec<String>,
}

#[derive(Serialize)]
struct Overall {
    avg_sum_reward: f64,
    avg_max_reward: f64,
    pc_success: f64,
    pc_success_ci95: [f64; 2],
    n_episodes: usize,
    n_success: usize,
    eval_s: f64,
    eval_ep_s: f64,
    video_paths: Vec<String>,
}

/// The run as `eval_info.json` of lerobot 0.4 and later, with the counts and the 95 % Wilson
/// intervals in percent that it has since September 2026 (pull request 4628).
///
/// An episode's position in its list is its trial. `sum_rewards` is the number of stages
/// completed, `max_rewards` their share of all (0 to 1). `eval_s` is the sum of the episodes'
/// wall-clock seconds, whatever the number of workers.
///
/// # Errors
/// When an episode is missing or could not be run: the lists cannot represent it.
///
/// Source: lerobot, `scripts/lerobot_eval.py`, `eval_policy_all`.
pub fn lerobot_json(run: &Run) -> Result<String, ExportError> {
    let counts = Counts::of_run(run);
    let excluded = counts.excluded();
    if !excluded.is_empty() {
        return Err(ExportError::Partial { format: "eval_info.json", excluded });
    }
    if counts.ok == 0 {
        return Err(ExportError::Empty);
    }
    let benchmark = &run.manifest.protocol.benchmark;
    let mut groups: BTreeMap<String, Lists> = BTreeMap::new();
    let mut per_task = Vec::new();
    for planned in &run.manifest.plan {
        let task_group = lerobot_group(benchmark, &planned.suite);
        let mut metrics = Lists::default();
        let group = groups.entry(task_group.clone()).or_default();
        for record in run.records_of(planned) {
            metrics.add(record);
            group.add(record);
        }
        let (n_episodes, n_success) = metrics.counts();
        per_task.push(Task {
            task_group,
            task_id: planned.task,
            pc_success: percent(n_success, n_episodes),
            pc_success_ci95: interval(n_success, n_episodes),
            n_episodes,
            n_success,
            metrics,
        });
    }
    let mut all = Lists::default();
    run.records.values().for_each(|record| all.add(record));
    let seconds: f64 = run.records.values().map(|record| record.seconds.wall).sum();
    let file = EvalInfo {
        per_task,
        per_group: groups.into_iter().map(|(name, lists)| (name, lists.means())).collect(),
        overall: all.means().with_seconds(seconds),
        udvla_eval: Provenance::of(run),
    };
    Ok(json(&file))
}

fn percent(successes: usize, n: usize) -> f64 {
    successes as f64 * 100.0 / n.max(1) as f64
}

/// The 95 % Wilson interval in percent; only runs with an episode per task are exported.
fn interval(successes: usize, n: usize) -> [f64; 2] {
    let found = wilson(successes as u32, n as u32).map(|estimate| estimate.times(100.0));
    found.map_or([0.0, 100.0], |estimate| [estimate.low, estimate.high])
}

impl Lists {
    fn add(&mut self, record: &EpisodeRecord) {
        self.sum_rewards.push(f64::from(record.stages_completed));
        self.max_rewards.push(record.progress());
        self.successes.push(record.success() == Some(true));
        self.video_paths.extend(record.video.clone());
    }

    /// Episodes and successes.
    fn counts(&self) -> (usize, usize) {
        let successes = self.successes.iter().filter(|&&success| success).count();
        (self.successes.len(), successes)
    }

    fn means(self) -> Means {
        let (n, successes) = self.counts();
        let mean = |sum: f64| sum / n.max(1) as f64;
        Means {
            avg_sum_reward: mean(self.sum_rewards.iter().sum()),
            avg_max_reward: mean(self.max_rewards.iter().sum()),
            pc_success: percent(successes, n),
            pc_success_ci95: interval(successes, n),
            n_episodes: n,
            n_success: successes,
            video_paths: self.video_paths,
        }
    }
}

impl Means {
    fn with_seconds(self, seconds: f64) -> Overall {
        Overall {
            avg_sum_reward: self.avg_sum_reward,
            avg_max_reward: self.avg_max_reward,
            pc_success: self.pc_success,
            pc_success_ci95: self.pc_success_ci95,
            n_episodes: self.n_episodes,
            n_success: self.n_success,
            eval_s: seconds,
            eval_ep_s: seconds / self.n_episodes.max(1) as f64,
            video_paths: self.video_paths,
        }
    }
}
