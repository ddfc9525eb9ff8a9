//! Progress of a run: bars on a terminal, plain lines in a pipe. On stderr.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use udvla_results::out::printable::printable;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::statistics::wilson;
use udvla_sims::episode::EpisodeKey;

use super::{Heading, Notice};
use crate::output;

/// Plain lines per run, at least.
const LINES: u64 = 20;
/// Longest time between two plain lines, once an episode has ended.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// How often the bars are drawn, at most.
const DRAWN_PER_SECOND: u8 = 20;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Errors only.
    Nothing,
    /// Plain lines.
    Lines,
    /// Bars.
    Bars,
}

impl Show {
    /// What suits stderr and the flags.
    pub fn choose(quiet: bool, no_progress: bool) -> Self {
        if quiet {
            Self::Nothing
        } else if no_progress || !std::io::stderr().is_terminal() {
            Self::Lines
        } else {
            Self::Bars
        }
    }
}

/// Counts what happens and shows it.
pub struct Reporter {
    show: Show,
    bars: Option<Bars>,
    counts: Counts,
    playing: HashSet<EpisodeKey>,
    begun: Instant,
    last_line: Option<Instant>,
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    asked: u64,
    done: u64,
    done_before: u64,
    successes: u32,
    failures: u32,
    errors: u64,
    retried: u64,
    rows: u64,
    batches: u64,
    policy_seconds: f64,
    replicas: usize,
}

struct Bars {
    group: MultiProgress,
    episodes: ProgressBar,
    success: ProgressBar,
    policy: ProgressBar,
}

impl Reporter {
    /// A reporter for `asked` episodes and `replicas` of the policy.
    pub fn new(show: Show, asked: usize, replicas: usize) -> Self {
        Self {
            show,
            bars: None,
            counts: Counts { asked: asked as u64, replicas, ..Counts::default() },
            playing: HashSet::new(),
            begun: Instant::now(),
            last_line: None,
        }
    }

    /// Shows the heading, counts the records of before, and begins to draw.
    pub fn start(&mut self, heading: &Heading, before: &[EpisodeRecord]) {
        if self.show != Show::Nothing {
            eprint!("{}", printable(&heading.to_string()));
        }
        before.iter().for_each(|record| self.counts.add(record));
        self.counts.done_before = self.counts.done;
        self.begun = Instant::now();
        self.bars = (self.show == Show::Bars).then(|| Bars::new(self.counts.asked));
        self.draw();
    }

    /// Shows a notice, whatever is being drawn.
    pub fn notice(&mut self, notice: &Notice) {
        self.counts.retried += u64::from(matches!(notice, Notice::Retrying { .. }));
        let text = notice.to_string();
        match (&self.bars, self.show) {
            (Some(bars), _) => bars.group.println(printable(&text)).unwrap_or_default(),
            (None, Show::Nothing) => {}
            (None, _) => eprintln!("{}", printable(&text)),
        }
    }

    /// A worker was given an episode.
    pub fn started(&mut self, key: &EpisodeKey) {
        self.playing.insert(key.clone());
        self.draw();
    }

    /// An episode has a record.
    pub fn finished(&mut self, record: &EpisodeRecord) {
        self.playing.remove(&record.key());
        self.counts.add(record);
        self.draw();
        let Counts { asked, done, .. } = self.counts;
        let is_due = self.last_line.is_none_or(|last| last.elapsed() > LONGEST_SILENCE);
        if self.show == Show::Lines && (is_due || done.is_multiple_of((asked / LINES).max(1))) {
            self.last_line = Some(Instant::now());
            let (rate, success) = (self.counts.rate(self.begun), self.counts.success());
            eprintln!("{done}/{asked} episodes  {rate}  {success}");
        }
    }

    /// The policy answered a batch.
    pub fn batch(&mut self, rows: usize, seconds: f64) {
        self.counts.batches += 1;
        self.counts.rows += rows as u64;
        self.counts.policy_seconds += seconds;
        self.draw();
    }

    /// Removes the bars and leaves one line.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            let _ = bars.group.clear();
        }
        let Counts { asked, done, errors, retried, .. } = self.counts;
        let elapsed = HumanDuration(self.begun.elapsed());
        if self.show != Show::Nothing {
            eprintln!(
                "{done} of {asked} episodes in {elapsed}, {errors} errors, {retried} retried"
            );
        }
    }

    fn draw(&self) {
        let Some(bars) = &self.bars else { return };
        bars.episodes.set_position(self.counts.done);
        bars.episodes.set_message(self.counts.rate(self.begun));
        bars.success.set_message(self.counts.success());
        bars.policy.set_message(self.counts.policy(self.begun, self.playing.len()));
    }
}

impl Counts {
    fn add(&mut self, record: &EpisodeRecord) {
        self.done += 1;
        match record.success() {
            Some(true) => self.successes += 1,
            Some(false) => self.failures += 1,
            None => self.errors += 1,
        }
    }

    fn rate(&self, begun: Instant) -> String {
        let done_here = self.done - self.done_before;
        if done_here == 0 {
            return "starting".into();
        }
        let rate = done_here as f64 / (begun.elapsed().as_secs_f64() / 60.0).max(1e-9);
        let left = Duration::from_secs_f64((self.asked - self.done) as f64 / rate * 60.0);
        format!("{rate:.1}/min  left {}", HumanDuration(left))
    }

    fn success(&self) -> String {
        let interval = match wilson(self.successes, self.successes + self.failures) {
            None => "-".into(),
            Some(rate) => {
                let percent = rate.times(100.0);
                format!("{:.1} % [{:.1}, {:.1}]", percent.value, percent.low, percent.high)
            }
        };
        format!(
            "{interval}  {} ok  {} failed  {} errors  {} retried",
            self.successes, self.failures, self.errors, self.retried
        )
    }

    fn policy(&self, begun: Instant, running: usize) -> String {
        if self.batches == 0 {
            return "no batch yet".into();
        }
        let available = begun.elapsed().as_secs_f64().max(1e-9) * self.replicas as f64;
        format!(
            "{:.1} rows a batch  {:.2} s a batch  busy {:.0} %  {running} episodes running",
            self.rows as f64 / self.batches as f64,
            self.policy_seconds / self.batches as f64,
            self.policy_seconds / available * 100.0,
        )
    }
}

impl Bars {
    fn new(asked: u64) -> Self {
        let terminal = ProgressDrawTarget::term(output::terminal(), DRAWN_PER_SECOND);
        let group = MultiProgress::with_draw_target(terminal);
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .expect("the templates below are valid")
                .progress_chars("━╸─")
        };
        let episodes = group.add(ProgressBar::new(asked));
        episodes.set_style(style("episodes {wide_bar} {pos}/{len}  {msg}"));
        let success = group.add(ProgressBar::new_spinner());
        success.set_style(style("success  {msg}"));
        let policy = group.add(ProgressBar::new_spinner());
        policy.set_style(style("policy   {msg}"));
        Self { group, episodes, success, policy }
    }
}
