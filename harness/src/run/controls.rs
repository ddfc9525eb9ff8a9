//! What the policy is given in an episode whose run has controls.

use sha2::{Digest, Sha256};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::instructions::Instructions;
use udvla_sims::observation::{Image, Observation};
use udvla_sims::protocol::Protocol;

use crate::plan::{Controls, InstructionControl, ObservationControl};

/// The controls of one episode.
#[derive(Debug)]
pub struct EpisodeControls {
    instruction: Told,
    observation: Option<ObservationControl>,
    /// The trial whose start the policy sees.
    other: Option<EpisodeKey>,
    /// The images and the state that the policy sees at every call.
    held: Option<(Vec<Image>, Vec<f32>)>,
}

/// What the policy is told.
#[derive(Debug)]
enum Told {
    /// The instruction.
    Instruction,
    /// This text.
    Text(String),
    /// The instruction's words in an order drawn with this seed.
    Scrambled(u64),
}

impl EpisodeControls {
    /// `controls` for the episode `key` of a run with that seed.
    pub fn new(controls: &Controls, protocol: &Protocol, key: &EpisodeKey, seed: u64) -> Self {
        let instruction = match controls.instruction {
            None => Told::Instruction,
            Some(InstructionControl::Blank) => Told::Text(String::new()),
            Some(InstructionControl::Scrambled) => Told::Scrambled(seed),
            Some(InstructionControl::Task(number)) => {
                let instructions = Instructions::new(protocol);
                let text = instructions.numbered(&key.suite, number);
                Told::Text(text.expect("the plan has checked the number").to_owned())
            }
        };
        let looks = controls.observation == Some(ObservationControl::OtherTrial);
        let trials = protocol.suite(&key.suite).map_or(1, |suite| suite.trials.max(1));
        let other = looks.then(|| EpisodeKey { trial: (key.trial + 1) % trials, ..key.clone() });
        Self { instruction, observation: controls.observation, other, held: None }
    }

    /// The episode whose first observation is to be given to [`Self::hold`].
    pub fn other(&self) -> Option<&EpisodeKey> {
        self.other.as_ref()
    }

    /// Sets what the policy sees at every call.
    pub fn hold(&mut self, images: Vec<Image>, state: Vec<f32>) {
        self.held = Some((images, state));
    }

    /// What the policy is given for `observation`.
    pub fn apply(&mut self, observation: Observation) -> Observation {
        let Observation { mut images, mut state, mut instruction, stage } = observation;
        if self.observation.is_some() {
            (images, state) = self.held.get_or_insert((images, state)).clone();
        }
        match &self.instruction {
            Told::Instruction => {}
            Told::Text(text) => instruction = text.as_str().into(),
            Told::Scrambled(seed) => instruction = scrambled(&instruction, *seed).into(),
        }
        Observation { images, state, instruction, stage }
    }
}

/// The words of `text` in another order: by the SHA-256 of `SEED/POSITION/TEXT`, and one word
/// further where that is the order they had. Equal only where all words are.
fn scrambled(text: &str, seed: u64) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut order: Vec<usize> = (0..words.len()).collect();
    order.sort_by_key(|position| Sha256::digest(format!("{seed}/{position}/{text}")));
    let mut drawn: Vec<&str> = order.into_iter().map(|position| words[position]).collect();
    if drawn == words && !drawn.is_empty() {
        drawn.rotate_left(1);
    }
    drawn.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrambled_words_are_the_same_words_in_another_order() {
        for suite in Protocol::libero().suites {
            for (text, seed) in suite.tasks.iter().zip(0..) {
                let drawn = scrambled(text, seed);
                assert_ne!(&drawn, text);
                assert_eq!(drawn, scrambled(text, seed), "the same in every call");
                let sorted = |text: &str| {
                    let mut words: Vec<String> = text.split(' ').map(String::from).collect();
                    words.sort();
                    words
                };
                assert_eq!(sorted(&drawn), sorted(text));
            }
        }
        let orders: std::collections::BTreeSet<String> =
            (0..20).map(|seed| scrambled("put the bowl on the plate", seed)).collect();
        assert!(orders.len() > 10, "the seed decides: {orders:?}");
        assert!((0..50).all(|seed| scrambled("open it", seed) == "it open"));
        assert_eq!(scrambled("", 3), "");
    }
}
