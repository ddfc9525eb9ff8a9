//! Progress of a collection of demonstrations: a bar on a terminal, plain lines in a pipe.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use udvla_results::out::printable::printable;
use udvla_results::tables::format::plural;

use super::Show;

/// Plain lines per collection, at least.
const LINES: u64 = 20;
/// Longest time between two plain lines, once an episode has ended.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Counts recorded episodes and shows them.
pub struct Progress {
    show: Show,
    bar: Option<ProgressBar>,
    asked: u64,
    before: u64,
    done: u64,
    successes: u64,
    begun: Instant,
    last_line: Option<Instant>,
}

impl Progress {
    /// Of `asked` episodes, of which none is there yet.
    pub fn new(show: Show, asked: usize) -> Self {
        Self {
            show,
            bar: None,
            asked: asked as u64,
            before: 0,
            done: 0,
            successes: 0,
            begun: Instant::now(),
            last_line: None,
        }
    }

    /// An episode was there before.
    pub fn before(&mut self, success: bool) {
        self.before += 1;
        self.count(success);
    }

    /// Begins to draw.
    pub fn start(&mut self) {
        self.begun = Instant::now();
        if matches!(self.show, Show::Bars(_)) {
            let template = "{bar:30} {pos}/{len} episodes  {msg}";
            let style = ProgressStyle::with_template(template).expect("a valid template");
            self.bar = Some(ProgressBar::new(self.asked).with_style(style));
        }
        self.draw();
    }

    /// An episode was recorded.
    pub fn recorded(&mut self, success: bool) {
        self.count(success);
        self.draw();
        let is_due = self.last_line.is_none_or(|last| last.elapsed() > LONGEST_SILENCE);
        let is_step = self.done.is_multiple_of((self.asked / LINES).max(1));
        if matches!(self.show, Show::Lines(_)) && (is_due || is_step) {
            self.last_line = Some(Instant::now());
            eprintln!("{}/{}  {}", self.done, plural(self.asked as u32, "episode"), self.text());
        }
    }

    /// Shows a note, whatever is being drawn.
    pub fn note(&self, text: &str) {
        let text = format!("note: {}", printable(text));
        match (&self.bar, self.show) {
            (Some(bar), _) => bar.println(text),
            (None, Show::Nothing) => {}
            (None, _) => eprintln!("{text}"),
        }
    }

    /// Removes the bar and leaves one line.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.show != Show::Nothing {
            let asked = plural(self.asked as u32, "episode");
            let elapsed = HumanDuration(self.begun.elapsed());
            eprintln!("{} of {asked} in {elapsed}, {} successful", self.done, self.successes);
        }
    }

    fn count(&mut self, success: bool) {
        self.done += 1;
        self.successes += u64::from(success);
    }

    fn draw(&self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            bar.set_message(self.text());
        }
    }

    fn text(&self) -> String {
        let here = self.done - self.before;
        if here == 0 {
            return "starting".into();
        }
        let seconds = self.begun.elapsed().as_secs_f64() / here as f64;
        let left = Duration::from_secs_f64((self.asked - self.done) as f64 * seconds);
        format!(
            "{seconds:.1} s each  left {}  {} ok  {} failed",
            HumanDuration(left),
            self.successes,
            self.done - self.successes
        )
    }
}
