//! Which instruction belongs to an episode, and the instructions of a suite by number.

use std::collections::BTreeMap;

use crate::episode::EpisodeKey;
use crate::protocol::Protocol;
use crate::sequences;

/// The instructions of a protocol.
#[derive(Debug, Clone, Default)]
pub struct Instructions(BTreeMap<String, OfSuite>);

#[derive(Debug, Clone, Default)]
struct OfSuite {
    /// By number: CALVIN's sub-tasks, else the suite's tasks.
    numbered: Vec<String>,
    /// CALVIN: index in `numbered` of every stage, by trial; empty for other benchmarks.
    chains: Vec<Vec<usize>>,
}

impl Instructions {
    /// Those of `protocol`.
    pub fn new(protocol: &Protocol) -> Self {
        let suites = protocol.suites.iter().map(|suite| {
            let subtasks = suite.details.instructions();
            if subtasks.is_empty() {
                let of_suite = OfSuite { numbered: suite.tasks.clone(), chains: vec![] };
                return (suite.name.clone(), of_suite);
            }
            let index = |name: String| subtasks.iter().position(|(known, _)| *known == name);
            let chains = sequences::chains(suite).into_iter();
            let chains = chains.map(|chain| chain.into_iter().filter_map(index).collect());
            let chains = chains.collect();
            let numbered = subtasks.into_iter().map(|(_, text)| text).collect();
            (suite.name.clone(), OfSuite { numbered, chains })
        });
        Self(suites.collect())
    }

    /// Number of instructions of a suite: its tasks, or CALVIN's sub-tasks; 0 for an unknown suite.
    pub fn count(&self, suite: &str) -> usize {
        self.0.get(suite).map_or(0, |suite| suite.numbered.len())
    }

    /// The instruction with that number, from 0.
    pub fn numbered(&self, suite: &str, number: u16) -> Option<&str> {
        self.0.get(suite)?.numbered.get(usize::from(number)).map(String::as_str)
    }

    /// Whether a suite's numbers are those of its tasks, so that an episode has one instruction.
    pub fn one_per_task(&self, suite: &str) -> bool {
        self.0.get(suite).is_none_or(|suite| suite.chains.is_empty())
    }

    /// The instruction of an episode after `stage` completed stages.
    pub fn of_episode(&self, key: &EpisodeKey, stage: u16) -> Option<&str> {
        let suite = self.0.get(&key.suite)?;
        let number = match suite.chains.get(usize::from(key.trial)) {
            Some(chain) => *chain.get(usize::from(stage))?,
            None => usize::from(key.task),
        };
        suite.numbered.get(number).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(suite: &str, task: u16, trial: u16) -> EpisodeKey {
        EpisodeKey { suite: suite.into(), task, trial }
    }

    #[test]
    fn an_episode_of_one_stage_has_the_instruction_of_its_task() {
        let instructions = Instructions::new(&Protocol::libero());
        assert_eq!(instructions.count("goal"), 10);
        let goal = instructions.of_episode(&key("goal", 1, 30), 0);
        assert_eq!(
            (goal, goal),
            (Some("put the bowl on the stove"), instructions.numbered("goal", 1))
        );
        assert_eq!(instructions.of_episode(&key("kitchen", 1, 0), 0), None);
        assert!(instructions.one_per_task("goal"));
    }

    #[test]
    fn a_stage_of_a_chain_has_the_instruction_of_its_sub_task() {
        let protocol = Protocol::calvin();
        let instructions = Instructions::new(&protocol);
        assert_eq!(instructions.count("abcd-d"), 34);
        let names = sequences::chains(&protocol.suites[0]);
        let texts: BTreeMap<_, _> = protocol.suites[0].details.instructions().into_iter().collect();
        for (stage, name) in (0..).zip(&names[7]) {
            let given = instructions.of_episode(&key("abcd-d", 0, 7), stage);
            assert_eq!(given, Some(texts[name].as_str()), "{name}");
        }
        assert_eq!(instructions.of_episode(&key("abcd-d", 0, 7), 5), None);
        assert!(!instructions.one_per_task("abcd-d"));
    }
}
