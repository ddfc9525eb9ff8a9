//! The pages in a real browser, where there is one: the script runs, and nothing is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use resvg::tiny_skia::Pixmap;
use scraper::{Html, Selector};
use tempfile::TempDir;
use udvla_results::out::report::{self_contained_page, write_all};
use udvla_results::run::damage::Damage;

use crate::build;
use crate::timelines::{EVIL, chain_with_evidence};

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

    /// One with another run directory.
    fn with(folder: TempDir) -> Option<Self> {
        Self::find().map(|browser| Self { folder, ..browser })
    }

    /// The page after `script` ran in it.
    fn after(&self, script: &str, arguments: &[&str]) -> Html {
        let page = self.folder.path().join("report.html");
        let text = fs::read_to_string(&page).unwrap();
        let (before, end) = text.rsplit_once("</body>").unwrap();
        fs::write(&page, format!("{before}<script>{script}</script></body>{end}")).unwrap();
        let dom = self.open("", &[&["--dump-dom"], arguments].concat()).stdout;
        fs::write(&page, text).unwrap();
        Html::parse_document(&String::from_utf8(dom).unwrap())
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
    assert_eq!(text(&html, ".filter:not([hidden]) button[aria-pressed=true]"), "all");
    let dom = browser.open("#long-task01-trial049", &["--dump-dom"]).stdout;
    let html = Html::parse_document(&String::from_utf8(dom).unwrap());
    assert_eq!(text(&html, "dialog[open] code.command"), format!("udvla-eval resume {folder}"));
    assert!(text(&html, "dialog[open]").contains("lost: the simulator went away"));
}

#[test]
fn an_episode_is_shown_chunk_by_chunk_and_texts_stay_texts() {
    let (folder, key) = chain_with_evidence();
    write_all(folder.path()).unwrap();
    let Some(browser) = Browser::with(folder) else { return };
    let dom = browser.open(&format!("#{key}"), &["--dump-dom"]).stdout;
    let html = Html::parse_document(&String::from_utf8(dom).unwrap());
    let all = |selector: &str| -> Vec<String> {
        let found = Selector::parse(selector).unwrap();
        html.select(&found).map(|element| element.text().collect()).collect()
    };
    assert_eq!(
        all("dialog .chunk h4"),
        [
            "Call 0, steps 0 to 10",
            "Call 1, steps 10 to 13",
            "Call 2, steps 13 to 23",
            "Call 3, steps 23 to 30"
        ]
    );
    assert_eq!(all("dialog .chunk:nth-child(3) .told"), [format!("“{EVIL}”")]);
    assert_eq!(all("dialog .remarks li"), [format!("odd: {EVIL}")]);
    let chain = all("dialog .chain li");
    assert!(chain[0].contains("“open it”") && chain[0].ends_with("steps 0 to 13, 2 calls"));
    assert!(chain[2].ends_with("not solved, steps 23 to 30, 1 call"), "{chain:?}");
    assert!(chain[4].ends_with("not reached"), "{chain:?}");
    assert_eq!(all("dialog .overview .component b"), ["x", "y", "z", "rx", "ry", "rz", "gripper"]);
    assert_eq!(all("dialog .overview .label")[0], "x [0.02 m]");
    let marks =
        |class: &str| all(&format!("dialog .overview .component:first-child .{class}")).len();
    assert_eq!((marks("call"), marks("stage")), (1, 2));
    let images = all("dialog .chunk:nth-child(1) .tile img").len();
    assert_eq!(images, 3, "observed, predicted, observed");
    assert_eq!(all("dialog .chunk:nth-child(2) .tile")[2], "no image");
    assert!(all("img[onerror]").is_empty() && all("dialog img[src=x]").is_empty());
}

#[test]
fn a_page_with_everything_inside_needs_no_file_beside_it() {
    let (folder, key) = chain_with_evidence();
    let page = self_contained_page(folder.path(), Damage::Refuse).unwrap();
    let alone = TempDir::new().unwrap();
    fs::write(alone.path().join("report.html"), page).unwrap();
    let Some(browser) = Browser::with(alone) else { return };
    let dom = browser.open(&format!("#{key}"), &["--dump-dom"]).stdout;
    let html = Html::parse_document(&String::from_utf8(dom).unwrap());
    let count = |selector: &str| html.select(&Selector::parse(selector).unwrap()).count();
    assert_eq!(count("dialog .chunk"), 4);
    // An image that was loaded has a width in percent of its part.
    assert_eq!(count("dialog .chunk:nth-child(1) .tile img[style*='width: 320%']"), 3);
}

#[test]
fn filters_add_up_release_each_other_and_follow_the_words() {
    let Some(browser) = Browser::find() else { return };
    let shown = |script: &str| {
        let html = browser.after(script, &[]);
        let count = |selector: &str| html.select(&Selector::parse(selector).unwrap()).count();
        let cells = count(".task:not([hidden]) .cell:not([hidden])");
        (cells, text(&html, "button[data-kind][aria-pressed=true]"))
    };
    let click = |kind: &str| format!("document.querySelector('[data-kind=\"{kind}\"]').click();");
    assert_eq!(shown(&click("solved")), (81, "solved".into()));
    assert_eq!(shown(&(click("solved") + &click("error"))), (82, "solvederrors".into()));
    assert_eq!(shown(&(click("solved") + &click("solved"))), (150, "all".into()));
    assert_eq!(shown(&(click("failed") + &click(""))), (150, "all".into()));
    let words = "const field = document.getElementById('filter-text'); field.value = 'MOKA pot'; \
                 field.dispatchEvent(new Event('input'));";
    assert_eq!(shown(words), (50, "all".into()));
    assert_eq!(shown(&(words.to_owned() + &click("solved"))), (0, "solved".into()));
}

/// Widths in pixels of what is wider than the window, and sizes of text that is too small.
const MEASURE: &str = "
  const small = [...document.querySelectorAll('body *')].filter((element) =>
    element.offsetParent !== null && [...element.childNodes].some((node) =>
      node.nodeType === 3 && node.textContent.trim() !== '') &&
    parseFloat(getComputedStyle(element).fontSize) < 9)
    .map((element) => element.outerHTML.slice(0, 80));
  const plots = [...document.querySelectorAll('figure svg text')].map((text) => {
    const svg = text.ownerSVGElement;
    return parseFloat(text.getAttribute('font-size')) * svg.getBoundingClientRect().width
      / svg.viewBox.baseVal.width;
  }).filter((size) => size < 9);
  const wide = document.documentElement.scrollWidth - innerWidth;
  const box = document.querySelector('dialog');
  document.title = JSON.stringify({ small, plots, wide: Math.max(wide, 0),
    dialog: Math.max(box.scrollWidth - box.clientWidth, 0), width: innerWidth });";

#[test]
fn nothing_overflows_and_no_text_is_tiny_on_screens_of_any_width() {
    let (folder, key) = chain_with_evidence();
    write_all(folder.path()).unwrap();
    let Some(browser) = Browser::with(folder) else { return };
    for width in [1280, 768, 500] {
        for script in ["", &format!("location.hash = '{key}';")] {
            let script = format!("{script} setTimeout(() => {{ {MEASURE} }}, 1000);");
            let html = browser.after(&script, &[&format!("--window-size={width},900")]);
            let found = text(&html, "title");
            let value: serde_json::Value = serde_json::from_str(&found).unwrap();
            let seen = value["width"].as_u64().unwrap();
            assert!(seen <= width, "{found}");
            for trouble in ["small", "plots"] {
                assert_eq!(value[trouble], serde_json::json!([]), "{width}: {found}");
            }
            assert_eq!((&value["wide"], &value["dialog"]), (&0.into(), &0.into()), "{found}");
        }
    }
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
