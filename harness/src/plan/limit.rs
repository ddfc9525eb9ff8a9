//! `--limit`: a number of episodes in all, spread over the tasks.

use udvla_results::run::manifest::PlannedTask;

/// The tasks with `limit` trials in all: one each in the plan's order, then a second one each, and
/// so on, as long as a task has trials left. Tasks that get none are left out.
pub fn spread(mut tasks: Vec<PlannedTask>, limit: u32) -> Vec<PlannedTask> {
    let mut left = limit;
    let mut given = vec![0; tasks.len()];
    while left > 0 && given.iter().zip(&tasks).any(|(given, task)| *given < task.trials) {
        for (given, task) in given.iter_mut().zip(&tasks) {
            if left > 0 && *given < task.trials {
                *given += 1;
                left -= 1;
            }
        }
    }
    for (task, given) in tasks.iter_mut().zip(given) {
        task.trials = given;
    }
    tasks.retain(|task| task.trials > 0);
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(trials: &[u16]) -> Vec<PlannedTask> {
        let task = |(task, &trials): (u16, &u16)| PlannedTask {
            suite: "long".into(),
            task,
            instruction: String::new(),
            trials,
            stages: 1,
        };
        (0..).zip(trials).map(task).collect()
    }

    fn trials(limit: u32, of: &[u16]) -> Vec<(u16, u16)> {
        spread(tasks(of), limit).iter().map(|task| (task.task, task.trials)).collect()
    }

    #[test]
    fn a_limit_is_spread_evenly_with_the_rest_on_the_first_tasks() {
        assert_eq!(trials(7, &[50, 50, 50]), [(0, 3), (1, 2), (2, 2)]);
        assert_eq!(trials(2, &[50, 50, 50]), [(0, 1), (1, 1)]);
        assert_eq!(trials(9, &[2, 50, 1]), [(0, 2), (1, 6), (2, 1)]);
        assert_eq!(trials(1000, &[2, 3]), [(0, 2), (1, 3)]);
    }
}
