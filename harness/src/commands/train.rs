//! `train`: a small UD-VLA policy from recorded demonstrations.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use udvla_policies::normalize::NormStats;
use udvla_policies::tokens::{FastTokenizer, TextTokenizer};
use udvla_policies::train::{
    Demonstrations, Figures, PolicyTrainer, TrainError, TrainingConfig, VisionTrainer, Windows,
    fit_actions, probe, take_tokenizers,
};
use udvla_policies::udvla::checkpoint::{Checkpoint, FAST_CONFIG, FAST_TOKENIZER};
use udvla_policies::udvla::device;

use crate::cli::{TrainArguments, TrainPart};
use crate::exit::{Exit, Refused};
use crate::hub;
use crate::report::Show;

mod curves;
mod manifest;

use curves::Curves;

/// Settings of the checkpoint that the program brings.
const NANO: &str = include_str!("../../../policies/nano/object.json");
/// Validation windows, and images of the vision tokenizer's validation.
const VALIDATION: usize = 96;

/// Trains what was asked for.
///
/// # Errors
/// [`Refused`] for settings or data that cannot be used.
pub fn run(arguments: &TrainArguments, show: Show) -> Result<Exit> {
    if let Some(threads) = arguments.threads {
        device::set_threads(threads);
    }
    let mut config = config(arguments.config.as_deref())?;
    config.name = arguments.name.clone().unwrap_or(config.name);
    let demonstrations = Demonstrations::open(&arguments.data).map_err(refused)?;
    let (count, failed) = (demonstrations.episodes.len(), demonstrations.failed);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let code = Exit::Killed as i32;
        signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let from = arguments.from.as_deref().map(|from| hub::folder(from, &hub::CHECKPOINT));
    let from = from.transpose()?.map(|from| Checkpoint::open(&from)).transpose();
    let from = from.map_err(|error| refused(error.into()))?;
    if let Some(from) = &from {
        if matches!(arguments.part, TrainPart::Vision | TrainPart::Actions) {
            return Err(Refused::new(
                "`--from` keeps the checkpoint's tokenizers and action ranges",
            )
            .hint("leave `--from` out, or train `policy`")
            .into());
        }
        take_tokenizers(from, &arguments.out).map_err(refused)?;
    }
    let training = Training { arguments, config, demonstrations, from, stop, show };
    training.say(&format!("{count} demonstrations, {failed} failed ones left out"));
    const ALL: &[TrainPart] = &[
        TrainPart::Vision,
        TrainPart::Actions,
        TrainPart::Probe,
        TrainPart::Policy,
        TrainPart::Futures,
    ];
    let parts = match arguments.part {
        TrainPart::All if training.from.is_some() => &ALL[2..],
        TrainPart::All => ALL,
        ref part => std::slice::from_ref(part),
    };
    for part in parts {
        let ended = match part {
            TrainPart::All => Ok(()),
            TrainPart::Vision => training.vision(),
            TrainPart::Actions => training.actions(),
            TrainPart::Probe => training.probe(),
            TrainPart::Policy => training.policy(),
            TrainPart::Futures => training.futures(),
        };
        let is_stop =
            |error: &anyhow::Error| matches!(error.downcast_ref(), Some(TrainError::Stopped));
        if !ended.as_ref().is_err_and(is_stop) {
            ended?;
        }
        if training.is_stopped() {
            training.say("stopped; the same command goes on");
            return Ok(Exit::Interrupted);
        }
    }
    Ok(Exit::Complete)
}

struct Training<'a> {
    arguments: &'a TrainArguments,
    config: TrainingConfig,
    demonstrations: Demonstrations,
    /// Where the training starts.
    from: Option<Checkpoint>,
    stop: Arc<AtomicBool>,
    show: Show,
}

impl Training<'_> {
    fn vision(&self) -> Result<()> {
        let mut trainer = VisionTrainer::new(&self.config, self.arguments.seed)?;
        let state = self.state("vision");
        if state.exists() {
            trainer.resume(&state).map_err(refused)?;
        }
        let mut curves = Curves::open(&self.file("curves/vision.csv"), trainer.step())?;
        let bar = self.bar("vision", trainer.step(), trainer.steps());
        let (mut saved, mut clock) = (Instant::now(), Instant::now());
        while trainer.step() < trainer.steps() {
            let figures = trainer.advance(&self.demonstrations, self.threads())?;
            draw(&bar, trainer.step(), &figures);
            curves.add(trainer.step(), &figures)?;
            let ends = trainer.step() == trainer.steps() || self.is_stopped();
            if saved.elapsed() >= self.pause() || ends {
                trainer.save(&state)?;
                trainer.export(&self.file("vision"))?;
                self.note("vision", trainer.step(), &mut clock)?;
                let (difference, codes) = trainer.validate(&self.demonstrations, VALIDATION)?;
                bar.suspend(|| {
                    self.say(&format!(
                        "vision step {}: difference {difference:.4} of a range of 2, {codes} codes \
                         used",
                        trainer.step()
                    ));
                });
                saved = Instant::now();
            }
            if ends {
                break;
            }
        }
        bar.finish_and_clear();
        curves.draw()
    }

    fn actions(&self) -> Result<()> {
        let fitted = fit_actions(&self.config, &self.demonstrations, &self.arguments.out)
            .map_err(refused)?;
        let list = |values: &[f64]| {
            values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ")
        };
        self.say(&format!(
            "actions: ranges {}; {} ids, {:.1} per chunk, {} at most; largest error {}",
            list(&fitted.ranges),
            fitted.vocabulary,
            fitted.ids.0,
            fitted.ids.1,
            list(&fitted.errors)
        ));
        Ok(())
    }

    fn probe(&self) -> Result<()> {
        let vision = self.vision_tokenizer()?;
        let found = probe(&self.config, &self.demonstrations, &vision, self.arguments.seed)
            .map_err(refused)?;
        self.say(&format!(
            "probe: the object's place is off by {:.1} mm from the codes, {:.1} mm before rounding, \
             {:.1} mm from the task's mean place ({} observations)",
            1000.0 * found.from_codes,
            1000.0 * found.from_latents,
            1000.0 * found.from_nothing,
            found.observations
        ));
        Ok(())
    }

    fn policy(&self) -> Result<()> {
        let out = &self.arguments.out;
        let (mut trainer, windows, fast) = self.opened()?;
        let state = self.state("policy");
        let (done, steps) = trainer.progress();
        let mut curves = Curves::open(&self.file("curves/policy.csv"), done)?;
        let mut measured = Curves::open(&self.file("curves/validation.csv"), done)?;
        let bar = self.bar("policy", done, steps);
        let (mut saved, mut clock) = (Instant::now(), Instant::now());
        if trainer.stage().is_none() {
            trainer.export(out)?;
        }
        while trainer.stage().is_some() {
            let figures = trainer.advance(&windows, self.threads())?;
            let (step, _) = trainer.progress();
            draw(&bar, step, &figures);
            curves.add(step, &figures)?;
            let ends = trainer.stage().is_none() || self.is_stopped();
            if saved.elapsed() >= self.pause() || ends {
                trainer.save(&state)?;
                trainer.export(out)?;
                self.note("policy", step, &mut clock)?;
                let found =
                    trainer.validate(&windows, &fast, self.config.denoise_steps, VALIDATION)?;
                bar.suspend(|| self.say(&format!("policy step {step}: {}", describe(&found))));
                measured.add(step, &figures_of(&found))?;
                saved = Instant::now();
            }
            if ends {
                break;
            }
        }
        bar.finish_and_clear();
        curves.draw()?;
        measured.draw()
    }

    fn futures(&self) -> Result<()> {
        let (trainer, windows, fast) = self.opened()?;
        let steps = self.config.denoise_steps;
        let found = trainer.arms(&windows, &fast, steps, usize::MAX)?;
        self.say(&format!(
            "futures: cross-entropy of the actions behind the true future {:.4}, the generated one \
             {:.4}, random codes {:.4} ({} windows, 9 of 10 codes shown)",
            found.truth, found.generated, found.random, found.windows
        ));
        Ok(())
    }

    /// The policy as far as it is trained, and what it is trained on.
    fn opened(&self) -> Result<(PolicyTrainer, Windows, FastTokenizer)> {
        let out = &self.arguments.out;
        let fast = [FAST_TOKENIZER, FAST_CONFIG].map(|name| out.join("fast").join(name));
        let fast =
            FastTokenizer::open(&fast[0], &fast[1]).map_err(|error| refused(error.into()))?;
        let stats = NormStats::open(&self.file("norm_stats.json"), &self.config.benchmark)
            .map_err(|error| refused(error.into()))?;
        let text = TextTokenizer::open(
            &self.file("text/ranks.tiktoken"),
            Some(&self.file("text/vision_tokens.txt")),
        )
        .map_err(|error| refused(error.into()))?;
        let vision = self.vision_tokenizer()?;
        let words = self.demonstrations.episodes.iter().map(|e| text.encode(&e.instruction).len());
        let longest = words.max().unwrap_or(0);
        let ranks = text.special("<|endoftext|>").context("the text tokenizer has no end")?;
        let sizes = (ranks as usize, fast.vocabulary());
        let mut trainer = PolicyTrainer::new(&self.config, sizes, longest, self.arguments.seed)?;
        let state = self.state("policy");
        if state.exists() {
            self.check_origin()?;
            trainer.resume(&state).map_err(refused)?;
        } else if let Some(from) = &self.from {
            trainer.start_from(from).map_err(refused)?;
        }
        let encoding = self.bar("image codes", 0, self.demonstrations.episodes.len() as u64);
        let windows = Windows::new(
            &self.config,
            trainer.ids(),
            &self.demonstrations,
            (&vision, &text),
            (&fast, &stats),
            &mut |done| {
                encoding.set_position(done as u64);
                if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )
        .map_err(refused)?;
        encoding.finish_and_clear();
        self.say(&format!(
            "policy: {} weights, {} windows, {} for validation",
            trainer.count(),
            windows.training.len(),
            windows.validation.len()
        ));
        Ok((trainer, windows, fast))
    }

    fn vision_tokenizer(&self) -> Result<udvla_policies::vision::VisionTokenizer> {
        if let Some(from) = &self.from {
            let (tokenizer, _) = from
                .vision(device::placement("cpu", None)?.device)
                .map_err(|error| refused(error.into()))?;
            return Ok(tokenizer);
        }
        let mut trainer = VisionTrainer::new(&self.config, self.arguments.seed)?;
        trainer.resume(&self.state("vision")).map_err(refused)?;
        Ok(trainer.encoder()?)
    }

    fn bar(&self, name: &'static str, done: u64, total: u64) -> ProgressBar {
        let bar = match self.show {
            Show::Bars(_) => ProgressBar::new(total),
            Show::Nothing | Show::Lines(_) => ProgressBar::hidden(),
        };
        let style = "{prefix} {bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
        let bar = bar.with_prefix(name);
        bar.set_position(done);
        bar.reset_eta();
        bar
    }

    /// Prints a line, unless only errors are wanted.
    fn say(&self, line: &str) {
        if self.show != Show::Nothing {
            eprintln!("{line}");
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.arguments.threads.map_or_else(all, usize::from)
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.arguments.save_every.max(0.01))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.arguments.out.join(name)
    }

    fn state(&self, part: &str) -> PathBuf {
        self.file(&format!("state/{part}.safetensors"))
    }
}

fn config(file: Option<&Path>) -> Result<TrainingConfig> {
    match file {
        Some(file) => Ok(TrainingConfig::open(file).map_err(|error| refused(error.into()))?),
        None => Ok(serde_json::from_str(NANO).expect("the bundled settings are tested")),
    }
}

fn refused(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Torch { .. } | TrainError::Write { .. } | TrainError::Stopped => error.into(),
        _ => Refused::new(udvla_policies::with_causes(&error)).into(),
    }
}

fn draw(bar: &ProgressBar, step: u64, figures: &Figures) {
    bar.set_position(step);
    let text = figures
        .iter()
        .filter(|(name, _)| !["gradient", "rate"].contains(name))
        .map(|(name, value)| format!("{name} {value:.3}"));
    bar.set_message(text.collect::<Vec<_>>().join("  "));
}

fn describe(found: &udvla_policies::train::Validation) -> String {
    let list = |values: &[f64]| {
        values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ")
    };
    format!(
        "errors {}  regression {}  codes {:.1} % (copied {:.1} %)",
        list(&found.errors),
        list(&found.regression),
        100.0 * found.codes,
        100.0 * found.copied
    )
}

fn figures_of(found: &udvla_policies::train::Validation) -> Figures {
    const ERRORS: [&str; 7] = ["x", "y", "z", "rx", "ry", "rz", "gripper"];
    const REGRESSION: [&str; 7] = [
        "regression x",
        "regression y",
        "regression z",
        "regression rx",
        "regression ry",
        "regression rz",
        "regression gripper",
    ];
    let errors = ERRORS.into_iter().zip(found.errors.iter().copied());
    let regression = REGRESSION.into_iter().zip(found.regression.iter().copied());
    errors.chain(regression).chain([("codes", found.codes), ("copied", found.copied)]).collect()
}
