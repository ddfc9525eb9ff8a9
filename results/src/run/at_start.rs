//! Episodes whose goal held before the policy could reach it.

use udvla_sims::episode::{AT_FIRST_STEP, AT_RESET};

use super::record::EpisodeRecord;

/// How many episodes had reached the goal at the reset or at the first control step; `None`
/// without any.
pub(super) fn note<'a>(records: impl Iterator<Item = &'a EpisodeRecord>) -> Option<String> {
    let (mut reset, mut step, mut all) = (0_u32, 0_u32, 0_u32);
    for record in records {
        let noted = |name: &str| record.notes.get(name).is_some_and(|value| value == true);
        all += 1;
        reset += u32::from(noted(AT_RESET));
        step += u32::from(noted(AT_FIRST_STEP));
    }
    if reset + step == 0 {
        return None;
    }
    Some(format!(
        "in {} of {all} episodes the first goal held before the policy could have reached it: in \
         {reset} after the reset, in {step} after the first control step",
        reset + step
    ))
}
