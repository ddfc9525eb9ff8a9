//! What is seen while a run goes on: bars on a terminal, plain lines in a pipe. On stderr.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use udvla_results::record::EpisodeRecord;
use udvla_results::statistics::wilson;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::SimError;

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
    /// What fits stderr and the flags.
    pub fn choose(quiet: bool, no_progress: bool) -> Self {
        match () {
            () if quiet => Self::Nothing,
            () if no_progress || !std::io::stderr().is_terminal() => Self::Lines,
            () => Self::Bars,
        }
    }
}

/// Counts what happens and shows it.
pub struct Progress {
    show: Show,
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
    playing: HashMap<usize, EpisodeKey>,
    begun: Instant,
    last_line: Option<Instant>,
    bars: Option<Bars>,
}

struct Bars {
    group: MultiProgress,
    episodes: ProgressBar,
    success: ProgressBar,
    policy: ProgressBar,
}

impl Progress {
    /// A run of `asked` episodes of which `before` have a record already.
    pub fn new(show: Show, asked: usize, before: &[EpisodeRecord]) -> Self {
        let bars = (show == Show::Bars).then(|| Bars::new(asked as u64));
        let mut progress = Self {
            show,
            asked: asked as u64,
            done: 0,
            done_before: before.len() as u64,
            successes: 0,
            failures: 0,
            errors: 0,
            retried: 0,
            rows: 0,
            batches: 0,
            policy_seconds: 0.0,
            replicas: 1,
            playing: HashMap::new(),
            begun: Instant::now(),
            last_line: None,
            bars,
        };
        for record in before {
            progress.count(record);
        }
        progress.draw();
        progress
    }

    /// The policy runs as so many replicas.
    pub fn shared_by(mut self, replicas: usize) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// A line for the user, whatever is being drawn.
    pub fn say(&self, line: &str) {
        match (&self.bars, self.show) {
            (Some(bars), _) => bars.group.println(line).unwrap_or_default(),
            (None, Show::Nothing) => {}
            (None, _) => eprintln!("{line}"),
        }
    }

    /// A worker was given an episode.
    pub fn started(&mut self, worker: usize, key: &EpisodeKey) {
        self.playing.insert(worker, key.clone());
        self.draw();
    }

    /// An episode has a record.
    pub fn finished(&mut self, record: &EpisodeRecord) {
        self.playing.retain(|_, key| *key != record.key());
        self.count(record);
        self.draw();
        let step = (self.asked / 20).max(1);
        let due = self.last_line.is_none_or(|last| last.elapsed() > Duration::from_secs(60));
        if self.show == Show::Lines && (due || self.done.is_multiple_of(step)) {
            self.last_line = Some(Instant::now());
            eprintln!("{}/{} episodes  {}  {}", self.done, self.asked, self.rate(), self.success());
        }
    }

    /// A simulator failed in an episode.
    pub fn failed(&mut self, key: &EpisodeKey, error: &SimError, again: bool) {
        let next = if again { "it will be tried again" } else { "recorded as an error" };
        self.retried += u64::from(again);
        self.say(&format!("{key}: {error}; {next}"));
    }

    /// The policy answered a batch.
    pub fn batch(&mut self, rows: usize, seconds: f64) {
        self.batches += 1;
        self.rows += rows as u64;
        self.policy_seconds += seconds;
        self.draw();
    }

    /// Ends the drawing and leaves one line.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            let _ = bars.group.clear();
        }
        let elapsed = HumanDuration(self.begun.elapsed());
        if self.show != Show::Nothing {
            eprintln!(
                "{} of {} episodes in {elapsed}, {} errors, {} retried",
                self.done, self.asked, self.errors, self.retried
            );
        }
    }

    fn count(&mut self, record: &EpisodeRecord) {
        self.done += 1;
        match record.success() {
            Some(true) => self.successes += 1,
            Some(false) => self.failures += 1,
            None => self.errors += 1,
        }
    }

    fn rate(&self) -> String {
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        let here = self.done - self.done_before;
        if here == 0 {
            return "starting".into();
        }
        let rate = here as f64 / minutes.max(1e-9);
        let left = Duration::from_secs_f64((self.asked - self.done) as f64 / rate * 60.0);
        format!("{rate:.1}/min  left {}", HumanDuration(left))
    }

    fn success(&self) -> String {
        let interval = wilson(self.successes, self.successes + self.failures);
        let interval = interval.map(|estimate| estimate.times(100.0));
        let interval = interval.map_or("-".into(), |estimate| {
            format!("{:.1} % [{:.1}, {:.1}]", estimate.value, estimate.low, estimate.high)
        });
        format!(
            "{interval}  {} ok  {} failed  {} errors  {} retried",
            self.successes, self.failures, self.errors, self.retried
        )
    }

    fn draw(&self) {
        let Some(bars) = &self.bars else { return };
        bars.episodes.set_position(self.done);
        bars.episodes.set_message(self.rate());
        bars.success.set_message(self.success());
        let whole = self.begun.elapsed().as_secs_f64().max(1e-9) * self.replicas as f64;
        let busy = self.policy_seconds / whole;
        bars.policy.set_message(match self.batches {
            0 => "no batch yet".to_owned(),
            batches => format!(
                "{:.1} rows a batch  {:.2} s a batch  busy {:.0} %  {} episodes running",
                self.rows as f64 / batches as f64,
                self.policy_seconds / batches as f64,
                busy * 100.0,
                self.playing.len()
            ),
        });
    }
}

impl Bars {
    fn new(asked: u64) -> Self {
        let group = MultiProgress::new();
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
