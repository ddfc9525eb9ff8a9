//! The versions of simulators that this harness is locked to, as data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::manifest::Manifest;

type Versions = BTreeMap<String, BTreeMap<String, String>>;

static LOCKED: LazyLock<Versions> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../locked.json")).expect("the tests read locked.json")
});

/// The simulator's packages that have another version than the locked one, for example
/// `mujoco 3.6.0, locked 3.2.3`; `None` where all that the run names are the locked ones.
pub fn other_versions(manifest: &Manifest) -> Option<String> {
    let locked = LOCKED.get(&manifest.protocol.benchmark)?;
    let others: Vec<String> = locked
        .iter()
        .filter_map(|(package, locked)| {
            let version = manifest.setting.other.get(package)?;
            (version != locked).then(|| format!("{package} {version}, locked {locked}"))
        })
        .collect();
    (!others.is_empty()).then(|| others.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_versions_are_those_of_the_lock_files() {
        for (benchmark, packages) in LOCKED.iter() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sims/python");
            let lock = std::fs::read_to_string(format!("{folder}/{benchmark}.lock")).unwrap();
            for (package, version) in packages {
                let pinned = format!("{package}=={version} ");
                assert!(lock.lines().any(|line| line.starts_with(&pinned)), "{pinned}");
            }
        }
    }
}
