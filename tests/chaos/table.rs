//! The table of faults in `docs/reliability.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::kinds::KINDS;

const BEGIN: &str = "<!-- faults: written by `just chaos-table` -->";
const END: &str = "<!-- faults: end -->";

/// The page that has the table.
pub fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md")
}

/// A row per kind, with how often it was injected.
pub fn table(counts: &BTreeMap<&str, usize>) -> String {
    let mut table =
        "| fault | what is injected | what a run does | tried |\n|---|---|---|--:|\n".to_owned();
    for kind in KINDS {
        let count = counts.get(kind.name).copied().unwrap_or_default();
        let row = [kind.name, kind.injected, kind.outcome].join(" | ");
        table += &format!("| {row} | {count} |\n");
    }
    let total: usize = counts.values().sum();
    table + &format!("| all | | | {total} |\n")
}

/// The page with another table between the marks.
pub fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

/// The rows of the page's table: everything but the count.
pub fn rows(page: &str) -> Option<Vec<String>> {
    let (_, rest) = page.split_once(BEGIN)?;
    let (table, _) = rest.split_once(END)?;
    let rows = table.lines().filter(|line| line.starts_with('|'));
    Some(rows.map(|row| row.rsplitn(3, '|').last().unwrap_or_default().to_owned()).collect())
}
