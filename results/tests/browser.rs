//! The pages in a real browser, where there is one: the script runs, and nothing is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use resvg::tiny_skia::Pixmap;
use scraper::{Html, Selector};
use tempfile::TempDir;
use udvla_results::out::report::write_all;

use crate::build;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser and a run directory with its page.
struct Browser {
    program: PathBuf,
    folder: TempDir,
}

impl Browser {
    /// `None`, with the reason on the screen, where this machine has no browser.
    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs =
            std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
        let Some(program) = programs.find(|program| program.is_file()) else {
            println!("skipped: pages in a browser, for there is no Chromium here");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let mut run = build::libero_long_counts(&[50, 31, 0]);
        build::fail(&mut run, "long", 1, 49);
        for record in run.records.values_mut() {
            record.actions = Some(format!("actions/{}.safetensors", record.key()));
        }
        build::store(&run, folder.path(), &build::lines(&run));
        write_all(folder.path()).unwrap();
        Some(Self { program, folder })
    }

    /// Opens the page and returns what the browser says; fails when its console has anything.
    fn open(&self, hash: &str, arguments: &[&str]) -> Output {
        let profile = TempDir::new().unwrap();
        let page = self.folder.path().join("report.html");
        let mut command = Command::new(&self.program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--enable-logging=stderr"])
            .arg("--virtual-time-budget=5000")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(format!("file://{}{hash}", page.display()));
        let output = patiently(command);
        let said = String::from_utf8_lossy(&output.stderr);
        let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(console.is_empty(), "{console:?}");
        output
    }
}

/// Runs a command that might hang to its end.
fn patiently(mut command: Command) -> Output {
    let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let pipe = |file: &fs::File| Stdio::from(file.try_clone().unwrap());
    let mut child = command.stdout(pipe(&out)).stderr(pipe(&err)).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                child.kill().unwrap();
                panic!("the browser hangs");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let read = |mut file: fs::File| {
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    };
    Output { status, stdout: read(out), stderr: read(err) }
}

fn text(html: &Html, selector: &str) -> String {
    html.select(&Selector::parse(selector).unwrap()).flat_map(|found| found.text()).collect()
}

#[test]
fn an_episode_can_be_opened_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let folder = browser.folder.path().display().to_string();
    let dom = browser.open("#long-task01-trial002", &["--dump-dom"]).stdout;
    let html = Html::parse_document(&String::from_utf8(dom).unwrap());
    assert_eq!(text(&html, "dialog[open] h2"), "long-task01-trial002");
    let facts = text(&html, "dialog[open] #episode-facts");
    for part in ["put both the cream cheese box", "outcomesolved", "steps207"] {
        assert!(facts.contains(part), "{part}: {facts}");
    }
    let command = format!("udvla-eval replay {folder} long-task01-trial002 --video videos");
    assert_eq!(text(&html, "dialog[open] code.command"), command);
    // Tabbing stops at one cell of every task; the arrow keys reach the others.
    let count = |selector: &str| html.select(&Selector::parse(selector).unwrap()).count();
    assert_eq!(count("#grids a.cell[tabindex='0']"), 3);
    assert_eq!(count("#grids a.cell[tabindex='-1']"), 147);
    assert_eq!(count(".filter:not([hidden]) button[aria-pressed=true]"), 4);
    let dom = browser.open("#long-task01-trial049", &["--dump-dom"]).stdout;
    let html = Html::parse_document(&String::from_utf8(dom).unwrap());
    assert_eq!(text(&html, "dialog[open] code.command"), format!("udvla-eval resume {folder}"));
    assert!(text(&html, "dialog[open]").contains("lost: the simulator went away"));
}

#[test]
fn a_page_has_colours_on_a_browsers_screen() {
    let Some(browser) = Browser::find() else { return };
    let picture = browser.folder.path().join("page.png");
    let option = format!("--screenshot={}", picture.display());
    browser.open("", &[&option, "--window-size=1200,6000", "--hide-scrollbars"]);
    // The circle of a solved episode, the frame of one that was not, the plots' and the page's ink.
    for (name, colour) in
        [("solved", [0, 97, 154]), ("failed", [163, 63, 0]), ("plots", [0, 114, 178])]
    {
        assert!(pixels(&picture, colour) > 200, "{name}: {}", pixels(&picture, colour));
    }
}

fn pixels(picture: &Path, colour: [u8; 3]) -> usize {
    let picture = Pixmap::decode_png(&fs::read(picture).unwrap()).unwrap();
    picture
        .pixels()
        .iter()
        .filter(|pixel| [pixel.red(), pixel.green(), pixel.blue()] == colour)
        .count()
}
