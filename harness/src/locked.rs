//! Installed packages against the locked ones: another version of a simulator is another benchmark.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The setting's key that says whether outcomes compare with others.
const COMPARABLE: &str = "comparable";

/// Marks a setting as not comparable if a package that its adapter reports has another version
/// than the one that `lock` names for the setting's Python.
///
/// MuJoCo 3.4 made objects slide that stood still before: success rates fell by 20 points under
/// an unchanged protocol. A package that the lock does not name is left alone.
pub fn judge(setting: &mut BTreeMap<String, String>, lock: &str) {
    let python = setting.get("python").cloned().unwrap_or_default();
    let other = setting.iter().filter_map(|(key, version)| {
        let package = key.replace('_', "-");
        let locked = versions(lock, &package, &python);
        let differs = !locked.is_empty() && !locked.contains(&version.as_str());
        differs.then(|| format!("{package} {version} (locked: {})", locked.join(" or ")))
    });
    let other: Vec<String> = other.collect();
    if other.is_empty() {
        return;
    }
    let known = setting.get(COMPARABLE).and_then(|text| text.strip_prefix("no: "));
    let reasons: Vec<String> = known.map(str::to_owned).into_iter().chain(other).collect();
    setting.insert(COMPARABLE.into(), format!("no: {}", reasons.join("; ")));
}

/// The first package of `lock` that is not among `installed` (versions by name) with a locked
/// version, and what is there instead.
pub fn missing(lock: &str, installed: &BTreeMap<&str, &str>, python: &str) -> Option<String> {
    let names = lock.lines().filter_map(|line| line.split_once("==")).map(|(name, _)| name);
    names.into_iter().find_map(|name| {
        let locked = versions(lock, name, python);
        let found = installed.get(name).copied();
        let fits = locked.is_empty() || found.is_some_and(|found| locked.contains(&found));
        let found = found.unwrap_or("not installed");
        (!fits).then(|| format!("{name} is {found}, the lock file has {}", locked.join(" or ")))
    })
}

/// The versions that a lock file names for a package and a Python; usually one, none if the package
/// is not in it.
fn versions<'a>(lock: &'a str, package: &str, python: &str) -> Vec<&'a str> {
    let lines = lock.lines().filter_map(|line| line.split_once("=="));
    let of_package = lines.filter(|(name, _)| *name == package);
    let lines = of_package.map(|(_, rest)| rest.trim_end_matches('\\').trim());
    let parts = lines.map(|rest| match rest.split_once(';') {
        Some((version, marker)) => (version.trim(), marker.trim()),
        None => (rest, ""),
    });
    parts.filter(|(_, marker)| applies(marker, python)).map(|(version, _)| version).collect()
}

/// Whether a marker holds for a Python, for example `python_full_version < '3.11'`; one of another
/// form is taken to hold.
fn applies(marker: &str, python: &str) -> bool {
    if marker == "sys_platform == 'win32'" {
        return false;
    }
    let words: Vec<&str> = marker.split_whitespace().collect();
    let &["python_full_version", operator, bound] = words.as_slice() else { return true };
    let bound = bound.trim_matches('\'').trim_end_matches(".*");
    let ordering = numbers(python).cmp(&numbers(bound));
    match operator {
        "<" => ordering == Ordering::Less,
        ">=" => ordering != Ordering::Less,
        "==" => python == bound || python.starts_with(&format!("{bound}.")),
        _ => true,
    }
}

/// The numbers of a version, for comparison: `3.11.7` is [3, 11, 7].
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmarks;

    const LOCK: &str = "\
mujoco==3.2.3 \\
    --hash=sha256:00
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:00
numpy==2.4.6 ; python_full_version == '3.11.*' \\
numpy==2.5.5 ; python_full_version >= '3.12' \\
hf-libero==0.1.4 \\
";

    fn judged(pairs: &[(&str, &str)]) -> Option<String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let mut setting = BTreeMap::from_iter(pairs);
        judge(&mut setting, LOCK);
        setting.remove(COMPARABLE)
    }

    #[test]
    fn the_locked_versions_are_comparable_and_each_python_has_its_own() {
        for (python, numpy) in [("3.10.2", "2.2.6"), ("3.11.7", "2.4.6"), ("3.12.0", "2.5.5")] {
            let setting = [("python", python), ("numpy", numpy), ("mujoco", "3.2.3")];
            assert_eq!(judged(&setting), None, "{python}");
        }
        let text = judged(&[("python", "3.10.2"), ("numpy", "2.5.5")]).unwrap();
        assert_eq!(text, "no: numpy 2.5.5 (locked: 2.2.6)");
    }

    #[test]
    fn another_version_is_not_comparable_beside_other_reasons() {
        let newer = [("hf_libero", "0.1.4"), ("mujoco", "3.6.0"), ("python", "3.11.7")];
        assert_eq!(judged(&newer).unwrap(), "no: mujoco 3.6.0 (locked: 3.2.3)");
        let stand_ins = [("comparable", "no: stand-in assets"), ("mujoco", "3.2.3.post1")];
        let text = judged(&stand_ins).unwrap();
        assert_eq!(text, "no: stand-in assets; mujoco 3.2.3.post1 (locked: 3.2.3)");
    }

    #[test]
    fn an_environment_lacks_what_the_lock_names_for_its_python() {
        let installed =
            |numpy| BTreeMap::from([("mujoco", "3.2.3"), ("hf-libero", "0.1.4"), ("numpy", numpy)]);
        assert_eq!(missing(LOCK, &installed("2.4.6"), "3.11.7"), None);
        let text = missing(LOCK, &installed("2.2.6"), "3.11.7").unwrap();
        assert_eq!(text, "numpy is 2.2.6, the lock file has 2.4.6");
        let text = missing(LOCK, &BTreeMap::new(), "3.11.7").unwrap();
        assert_eq!(text, "mujoco is not installed, the lock file has 3.2.3");
        assert_eq!(
            missing("colorama==0.4.6 ; sys_platform == 'win32' \\", &BTreeMap::new(), ""),
            None
        );
    }

    #[test]
    fn what_no_lock_names_is_left_alone() {
        assert_eq!(judged(&[("gym", "0.26.2"), ("simulator", "fake"), ("renderer", "egl")]), None);
    }

    #[test]
    fn every_simulator_is_locked_to_the_version_of_its_protocol() {
        for (benchmark, package, version) in [
            ("libero", "mujoco", "3.2.3"),
            ("calvin", "pybullet", "3.2.7"),
            ("simpler", "sapien", "2.2.2"),
        ] {
            let lock = benchmarks::find(benchmark).unwrap().facts().environment.lock;
            assert_eq!(versions(lock, package, "3.11.7"), [version]);
        }
    }
}
