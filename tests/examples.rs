//! The commands of README and docs.
//!
//! A line before each block of commands says what becomes of it: `<!-- example: run -->`,
//! `<!-- example: run, needs calvin -->` (its files, found as by other tests), or
//! `<!-- example: not run: REASON -->`. The blocks of a page run in one folder, from top to bottom.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use clap::error::ErrorKind;
use udvla_eval::cli::Cli;

use crate::support::files_of;

/// A block of commands.
struct Block {
    page: String,
    /// Line of its fence, from 1.
    line: usize,
    /// The comment before it, without its frame.
    marker: Option<String>,
    commands: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CONTRIBUTING and everything under docs; the command reference is generated.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|ending| ending == "md") => pages.push(path),
                false => {}
            }
        }
    }
    pages.retain(|page| !page.ends_with("cli.md"));
    pages.sort();
    pages
}

/// Blocks of a page in `sh` or `console`.
fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let length = lines[at + 1..].iter().take_while(|line| !line.starts_with("```")).count();
        let body = lines[at + 1..][..length].join("\n");
        let commands = match language {
            "sh" => Some(body),
            "console" => {
                let typed = body.lines().filter_map(|line| line.strip_prefix("$ "));
                Some(typed.collect::<Vec<_>>().join("\n"))
            }
            _ => None,
        };
        if let Some(commands) = commands {
            let before = at.checked_sub(1).map_or("", |before| lines[before]);
            let marker = before.strip_prefix("<!-- example: ").and_then(|m| m.strip_suffix(" -->"));
            let page = page.strip_prefix(root()).unwrap().display().to_string();
            blocks.push(Block { page, line: at + 1, marker: marker.map(Into::into), commands });
        }
        at += length + 2;
    }
    blocks
}

/// Command lines of the program in a block or an inline example, without comments.
fn command_lines(commands: &str) -> Vec<String> {
    let joined = commands.replace("\\\n", " ");
    let command = |line: &str| {
        let line = line.split(" #").next().unwrap_or(line);
        line.split(" || ").next().unwrap_or(line).trim().to_owned()
    };
    let lines = joined.lines().map(command);
    lines.filter(|line| line.split(' ').next().is_some_and(|c| c.ends_with("udvla-eval"))).collect()
}

#[test]
fn every_block_of_commands_says_whether_it_is_run() {
    let blocks: Vec<Block> = pages().iter().flat_map(|page| blocks(page)).collect();
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
    for block in &blocks {
        let marker = block.marker.as_deref().unwrap_or_default();
        let is_known = marker == "run"
            || marker.starts_with("run, needs ")
            || marker.strip_prefix("not run: ").is_some_and(|reason| reason.len() > 5);
        assert!(is_known, "{}:{}: no `<!-- example: … -->` before it", block.page, block.line);
    }
    assert!(blocks.iter().filter(|b| b.marker.as_deref() == Some("run")).count() > 5);
}

/// Also of the blocks that are not run.
#[test]
fn every_command_line_of_the_docs_is_accepted_by_the_parser() {
    let mut count = 0;
    for page in pages() {
        for block in blocks(&page) {
            for line in command_lines(&block.commands) {
                let words = shlex::split(&line).unwrap_or_else(|| panic!("{line}"));
                if let Err(error) = Cli::try_parse_from(words) {
                    let is_asked = error.kind() == ErrorKind::DisplayVersion;
                    assert!(is_asked, "{}:{}: {line}\n{error}", block.page, block.line);
                }
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count} command lines");
}

/// Runs the blocks of one page that are to be run; returns how many.
fn run_page(page: &Path) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_udvla-eval"));
    let mut path = std::ffi::OsString::from(program.parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut count = 0;
    for block in blocks(page) {
        let Some(needs) = block.marker.as_deref().and_then(|marker| marker.strip_prefix("run"))
        else {
            continue;
        };
        if let Some(needed) = needs.strip_prefix(", needs ") {
            let Some(data) = files_of(needed) else { continue };
            let _ = std::os::unix::fs::symlink(data, folder.path().join(needed));
        }
        let begun = Instant::now();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.commands])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env_remove("UDVLA_CHECKPOINT")
            .env_remove("UDVLA_LIBERO_ASSETS")
            .output()
            .unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let at = format!("{}:{}", block.page, block.line);
        println!("{at}: {:.0} s", begun.elapsed().as_secs_f64());
        assert!(output.status.success(), "{at}: {}\n{out}\n{err}", output.status);
        count += 1;
    }
    count
}

/// Needs LIBERO's environment, as `scripts/setup` makes it.
#[test]
fn the_examples_of_the_docs_run() {
    if crate::worker::environment().is_none() {
        return;
    }
    let count: usize = pages().iter().map(|page| run_page(page)).sum();
    assert!(count > 5, "{count} blocks were run");
}
