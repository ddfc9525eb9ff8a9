//! One episode, from its reset to its recording.

use udvla_sims::episode::EpisodeKey;

use super::plan::Collection;
use super::recording::{Interruption, Playing, Recording};
use super::start::Learner;
use crate::simulator::Simulator;

/// Plays an episode and records it; `learner` plays its beginning, if there is one.
///
/// # Errors
/// When the simulator or the policy fails.
pub fn record(
    collection: &Collection,
    simulator: &mut Simulator,
    key: &EpisodeKey,
    learner: Option<Learner>,
) -> Result<Recording, Interruption> {
    let mut playing = Playing::reset(collection, simulator, key)?;
    playing.demonstrate(0)?;
    if let Some(learner) = learner
        && let Some(ended) = playing.start(learner)?
    {
        return Ok(playing.finish(ended));
    }
    loop {
        if let Some(ended) = playing.demonstrate(playing.until_observation())? {
            return Ok(playing.finish(ended));
        }
    }
}
