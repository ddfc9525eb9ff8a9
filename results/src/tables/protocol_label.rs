//! A protocol in one line, with all that was chosen in it.

use udvla_sims::protocol::{SuccessRule, Suite};

use super::format::short_hash;
use crate::run::manifest::Manifest;

/// `libero v1 (4bdfa967)`, followed by stored lists, changed rules and repeated initial states.
pub(super) fn protocol_label(manifest: &Manifest) -> String {
    let protocol = &manifest.protocol;
    let fingerprint = short_hash(&manifest.protocol_fingerprint);
    let list = |suite: &Suite, key: &str| {
        let reference = suite.details.list(key)?;
        let sha256: String = reference.sha256.chars().take(8).collect();
        Some(format!(" · {key} {} ({sha256})", reference.name))
    };
    let lists: String = protocol
        .suites
        .iter()
        .flat_map(|suite| ["sequences", "annotations"].map(|key| list(suite, key)))
        .flatten()
        .collect();
    let changed = protocol.suites.first().filter(|_| protocol.has_own_rules());
    let rules = changed.map_or(String::new(), |suite| {
        let rule = protocol.environment.success();
        let success = rule.map_or("as in the protocol", SuccessRule::name);
        format!(" · success {success}, at most {} steps", suite.max_steps)
    });
    let repeats = manifest.plan.iter().filter_map(|planned| {
        let ids = protocol.suite(&planned.suite)?.trials;
        (planned.trials > ids && ids > 0).then(|| (planned.trials.div_ceil(ids), ids))
    });
    let repeats = repeats.max().map_or(String::new(), |(repeats, ids)| {
        format!(" · {repeats} repeats of the same {ids} initial states, with other sampling noise")
    });
    format!("{} v{} ({fingerprint}){lists}{rules}{repeats}", protocol.name, protocol.version)
}
