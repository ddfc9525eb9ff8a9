//! Imports go one way: between crates, between the folders of a crate, between its modules.

mod tree;

use std::path::Path;

use tree::Tree;

/// The rules of one crate.
struct Rules {
    package: &'static str,
    source: &'static str,
    /// Crates of this workspace that it may depend on, for its tests too.
    may_use: &'static [&'static str],
    /// Folders or files of `source`, the lowest first: each imports from itself and from those
    /// before it. What is not listed is free.
    layers: &'static [&'static str],
}

const RULES: &[Rules] = &[
    Rules {
        package: "udvla-sims",
        source: "sims/src",
        may_use: &[],
        layers: &[
            "episode",
            "details",
            "protocol",
            "observation",
            "wire",
            "error",
            "body",
            "checks",
            "tree",
            "log",
            "memory",
            "stream",
            "supervisor",
            "shell",
            "process",
        ],
    },
    Rules {
        package: "udvla-worker",
        source: "sims/worker/src",
        may_use: &["udvla-sims"],
        layers: &["session", "requests"],
    },
    Rules {
        package: "udvla-vulkan-layer",
        source: "sims/vulkan-layer/src",
        may_use: &[],
        layers: &[],
    },
    Rules {
        package: "udvla-policies",
        source: "policies/src",
        may_use: &["udvla-sims"],
        layers: &[
            "files",
            "tokens",
            "vision",
            "normalize",
            "policy",
            "weightless",
            "frames",
            "remote",
            "udvla/checkpoint",
            "udvla/model",
            "udvla/prompt",
            "udvla/decode",
        ],
    },
    Rules {
        package: "udvla-golden",
        source: "policies/golden/src",
        may_use: &["udvla-sims", "udvla-policies"],
        layers: &[],
    },
    Rules {
        package: "udvla-results",
        source: "results/src",
        may_use: &["udvla-sims"],
        layers: &["statistics", "run", "paper", "tables", "compare", "out"],
    },
    Rules {
        package: "udvla-eval",
        source: "harness/src",
        may_use: &["udvla-sims", "udvla-policies", "udvla-results"],
        layers: &[
            "output",
            "exit",
            "gpus",
            "walls",
            "platform",
            "environment",
            "locked",
            "installer",
            "vulkan",
            "assets",
            "benchmarks",
            "plan",
            "model",
            "preflight",
            "clients",
            "cli",
            "policy",
            "report",
            "run",
            "real",
            "serve",
            "simulator",
            "demonstrations",
            "commands",
        ],
    },
];

#[test]
fn crates_depend_on_lower_crates_alone() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let rules = RULES.iter().find(|rules| rules.package == name);
        let rules = rules.unwrap_or_else(|| panic!("add the crate `{name}` to RULES in this test"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency = dependency["name"].as_str().unwrap();
            let ours = dependency.starts_with("udvla-");
            let allowed = !ours || rules.may_use.contains(&dependency);
            assert!(allowed, "`{name}` depends on `{dependency}`, which is not below it");
        }
    }
}

#[test]
fn modules_import_without_cycles_and_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = vec![];
    for rules in RULES.iter().filter(|rules| root.join(rules.source).exists()) {
        let tree = Tree::read(&root.join(rules.source));
        problems.extend(tree.cycles().into_iter().map(|text| (rules.source, text)));
        let upwards = tree.upward_imports(rules.layers);
        problems.extend(upwards.into_iter().map(|text| (rules.source, text)));
    }
    let lines = problems.iter().map(|(source, text)| format!("{source}: {text}"));
    assert!(problems.is_empty(), "\n{}", lines.collect::<Vec<_>>().join("\n"));
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Tree::read(folder.path())
}

#[test]
fn a_cycle_is_found_through_a_reexport_and_shown_with_its_files() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::deep::Thing;"),
        ("b/mod.rs", "mod deep; pub use deep::Other as Thing;"),
        ("b/deep.rs", "fn f() { crate::c::g() }"),
        ("c.rs", "use super::a; fn g() {}"),
    ]);
    let [cycle] = tree.cycles().try_into().unwrap();
    assert!(cycle.contains("a.rs -> b/deep.rs"), "{cycle}");
    assert!(cycle.contains("b/deep.rs -> c.rs") && cycle.contains("c.rs -> a.rs"), "{cycle}");
}

#[test]
fn tests_and_a_parents_reexports_are_no_imports() {
    let tree = tree(&[
        ("lib.rs", "pub mod a; mod b; pub use b::B; #[cfg(test)] mod t;"),
        ("a.rs", "use crate::B; #[cfg(test)] mod tests { use super::*; use crate::t; }"),
        ("b.rs", "#[cfg(test)] use crate::a; pub struct B;"),
        ("t.rs", "use crate::{a, b};"),
    ]);
    assert_eq!(tree.cycles(), [""; 0]);
}

#[test]
fn an_import_from_a_later_layer_is_found() {
    let tree = tree(&[
        ("lib.rs", "mod low; mod high;"),
        ("low/mod.rs", "mod x;"),
        ("low/x.rs", "use crate::high::{self, Y};"),
        ("high.rs", "use crate::low;"),
    ]);
    let [upward] = tree.upward_imports(&["low", "high"]).try_into().unwrap();
    assert_eq!(upward, "`low` is below `high`: low/x.rs -> high.rs");
    assert_eq!(tree.upward_imports(&["high"]), [""; 0]);
}
