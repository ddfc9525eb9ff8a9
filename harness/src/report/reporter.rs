//! Progress of a run: bars on a terminal, plain lines in a pipe. On stderr.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use udvla_results::out::printable::printable;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::statistics::wilson;
use udvla_results::tables::format::plural;
use udvla_sims::episode::EpisodeKey;

use super::{Heading, Notice, Running};
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
    Lines(Detail),
    /// Bars.
    Bars(Detail),
}

/// What the lines or bars are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The run as a whole.
    Totals,
    /// Every running episode as well.
    Episodes,
}

impl Show {
    /// What suits stderr and the flags.
    pub fn choose(quiet: bool, no_progress: bool, detail: Detail) -> Self {
        if quiet {
            Self::Nothing
        } else if no_progress || !std::io::stderr().is_terminal() {
            Self::Lines(detail)
        } else {
            Self::Bars(detail)
        }
    }

    /// Whether every running episode is shown.
    fn episodes(self) -> bool {
        matches!(self, Self::Lines(Detail::Episodes) | Self::Bars(Detail::Episodes))
    }
}

/// Counts what happens and shows it.
pub struct Reporter {
    show: Show,
    bars: Option<Bars>,
    counts: Counts,
    running: Running,
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
    /// Stages completed and largest number of stages, of the episodes that ran.
    completed: u64,
    stages: u16,
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
    /// A line per running episode, where they are shown.
    running: BTreeMap<EpisodeKey, ProgressBar>,
}

impl Reporter {
    /// A reporter for `asked` episodes, of which none is `running` yet, and `replicas` of the policy.
    pub fn new(show: Show, asked: usize, replicas: usize, running: Running) -> Self {
        Self {
            show,
            bars: None,
            counts: Counts { asked: asked as u64, replicas, ..Counts::default() },
            running,
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
        let bars = matches!(self.show, Show::Bars(_));
        self.bars = bars.then(|| Bars::new(self.counts.asked));
        self.draw();
    }

    /// Shows a notice, whatever is being drawn.
    pub fn notice(&mut self, notice: &Notice) {
        self.counts.retried += u64::from(matches!(notice, Notice::Retrying { .. }));
        match (&self.bars, self.show) {
            (Some(bars), _) => bars.group.println(notice.painted()).unwrap_or_default(),
            (None, Show::Nothing) => {}
            (None, _) => eprintln!("{}", notice.painted()),
        }
    }

    /// A worker was given an episode.
    pub fn started(&mut self, key: &EpisodeKey) {
        self.running.start(key);
        if self.show.episodes() {
            match &mut self.bars {
                Some(bars) => bars.start(key, self.running.line(key)),
                None => eprintln!("{}", self.running.line(key)),
            }
        }
        self.draw();
    }

    /// A running episode has completed `stage` stages and played `steps` control steps.
    pub fn advanced(&mut self, key: &EpisodeKey, stage: u16, steps: u32) {
        self.running.advance(key, stage, steps);
        if let Some(bar) = self.bars.as_ref().and_then(|bars| bars.running.get(key)) {
            bar.set_message(self.running.line(key));
        }
    }

    /// An attempt at an episode is over without a record.
    pub fn ended(&mut self, key: &EpisodeKey) {
        self.running.end(key);
        if let Some(bars) = &mut self.bars {
            bars.end(key);
        }
    }

    /// An episode has a record.
    pub fn finished(&mut self, record: &EpisodeRecord) {
        self.ended(&record.key());
        self.counts.add(record);
        if self.show == Show::Lines(Detail::Episodes) {
            eprintln!("{}", Running::outcome(record));
        }
        self.draw();
        let Counts { asked, done, .. } = self.counts;
        let is_due = self.last_line.is_none_or(|last| last.elapsed() > LONGEST_SILENCE);
        let lines = matches!(self.show, Show::Lines(_));
        if lines && (is_due || done.is_multiple_of((asked / LINES).max(1))) {
            self.last_line = Some(Instant::now());
            let (rate, success) = (self.counts.rate(self.begun), self.counts.success());
            eprintln!("{done}/{}  {rate}  {success}", plural(asked as u32, "episode"));
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
            let asked = plural(asked as u32, "episode");
            let errors = plural(errors as u32, "error");
            eprintln!("{done} of {asked} in {elapsed}, {errors}, {retried} retried");
        }
    }

    fn draw(&self) {
        let Some(bars) = &self.bars else { return };
        bars.episodes.set_position(self.counts.done);
        bars.episodes.set_message(self.counts.rate(self.begun));
        bars.success.set_message(self.counts.success());
        bars.policy.set_message(self.counts.policy(self.begun, self.running.count()));
    }
}

impl Counts {
    fn add(&mut self, record: &EpisodeRecord) {
        self.done += 1;
        if record.success().is_some() {
            self.completed += u64::from(record.stages_completed);
            self.stages = self.stages.max(record.stages);
        }
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
        let errors = plural(self.errors as u32, "error");
        let ran = self.successes + self.failures;
        if self.stages > 1 && ran > 0 {
            let length = self.completed as f64 / f64::from(ran);
            return format!(
                "average length {length:.2} of {}  {} whole  {} not  {errors}  {} retried",
                self.stages, self.successes, self.failures, self.retried
            );
        }
        let interval = match wilson(self.successes, self.successes + self.failures) {
            None => "-".into(),
            Some(rate) => {
                let percent = rate.times(100.0);
                format!("{:.1} % [{:.1}, {:.1}]", percent.value, percent.low, percent.high)
            }
        };
        format!(
            "{interval}  {} ok  {} failed  {errors}  {} retried",
            self.successes, self.failures, self.retried
        )
    }

    fn policy(&self, begun: Instant, running: usize) -> String {
        if self.batches == 0 {
            return "no batch yet".into();
        }
        let available = begun.elapsed().as_secs_f64().max(1e-9) * self.replicas as f64;
        format!(
            "{:.1} rows a batch  {:.2} s a batch  busy {:.0} %  {} running",
            self.rows as f64 / self.batches as f64,
            self.policy_seconds / self.batches as f64,
            self.policy_seconds / available * 100.0,
            plural(running as u32, "episode"),
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
        // No line is as wide as 80 columns: a terminal that is made narrower would break the lines
        // that fill it, and leave their rests behind.
        let episodes = group.add(ProgressBar::new(asked));
        episodes.set_style(style("episodes {bar:24} {pos}/{len}  {msg}"));
        let success = group.add(ProgressBar::new_spinner());
        success.set_style(style("success  {msg}"));
        let policy = group.add(ProgressBar::new_spinner());
        policy.set_style(style("policy   {msg}"));
        Self { group, episodes, success, policy, running: BTreeMap::new() }
    }

    fn start(&mut self, key: &EpisodeKey, line: String) {
        let bar = self.group.add(ProgressBar::new_spinner());
        bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is valid"));
        bar.set_message(line);
        self.running.insert(key.clone(), bar);
    }

    fn end(&mut self, key: &EpisodeKey) {
        if let Some(bar) = self.running.remove(key) {
            bar.finish_and_clear();
            self.group.remove(&bar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_below_the_bars_is_as_wide_as_80_columns() {
        let counts = Counts {
            asked: 2000,
            done: 1999,
            successes: 1000,
            failures: 980,
            errors: 19,
            retried: 119,
            rows: 799_000,
            batches: 100_000,
            policy_seconds: 123_456.0,
            replicas: 8,
            ..Counts::default()
        };
        let begun = Instant::now();
        let lines = ["success  ".to_owned() + &counts.success(), counts.policy(begun, 100)];
        for line in lines {
            assert!(line.chars().count() < 80, "{line}");
        }
        assert!(counts.success().starts_with("50.5 % ["), "{}", counts.success());
    }

    #[test]
    fn chains_show_their_average_length_so_far_and_one_error_is_singular() {
        let counts = Counts {
            successes: 1,
            failures: 2,
            errors: 1,
            completed: 9,
            stages: 5,
            ..Counts::default()
        };
        let expected = "average length 3.00 of 5  1 whole  2 not  1 error  0 retried";
        assert_eq!(counts.success(), expected);
    }
}
