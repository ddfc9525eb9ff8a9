//! What a policy is trained on: an observation, the chunk that follows, the observation after it.

use tch::{TchError, Tensor};

use super::actions::normalized;
use super::config::TrainingConfig;
use super::demonstrations::{ACTION, Demonstrations, Episode};
use super::error::TrainError;
use crate::normalize::NormStats;
use crate::tokens::{FastTokenizer, TextTokenizer};
use crate::udvla::checkpoint::{Layout, SpecialIds};
use crate::udvla::prompt::{ImageTokens, Prompt};
use crate::vision::{VisionTokenizer, pixels};

/// All windows of a set of demonstrations, as tokens.
#[derive(Debug)]
pub struct Windows {
    layout: Layout,
    ids: SpecialIds,
    episodes: Vec<Tokens>,
    /// Windows for training.
    pub training: Vec<Window>,
    /// Windows of episodes that are kept for validation.
    pub validation: Vec<Window>,
    /// Sums of the training windows' weights, ascending.
    sums: Vec<f64>,
}

/// Tokens of an episode.
#[derive(Debug)]
struct Tokens {
    text: Vec<i64>,
    /// By camera: ids of the size text, and the codes of each observation.
    views: Vec<(Vec<i64>, Vec<Vec<i64>>)>,
}

/// A place in an episode.
#[derive(Debug, Clone)]
pub struct Window {
    episode: usize,
    /// The observation shown, and the one after the chunk.
    at: usize,
    future: usize,
    /// Number of the task.
    pub task: u16,
    /// The chunk in the model's range, `[horizon, width]`.
    pub chunk: Vec<f64>,
    /// Its ids in the model's vocabulary, between begin and end of actions.
    actions: Vec<i64>,
    changes_gripper: bool,
}

impl Windows {
    /// Encodes everything with a checkpoint's tokenizers.
    ///
    /// # Errors
    /// Images of another number or size than the layout's.
    pub fn new(
        config: &TrainingConfig,
        ids: &SpecialIds,
        demonstrations: &Demonstrations,
        (vision, text): (&VisionTokenizer, &TextTokenizer),
        (fast, stats): (&FastTokenizer, &NormStats),
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, TrainError> {
        let mut all = Self {
            layout: config.layout.clone(),
            ids: ids.clone(),
            episodes: vec![],
            training: vec![],
            validation: vec![],
            sums: vec![],
        };
        for episode in &demonstrations.episodes {
            all.check(episode)?;
            let tokens = all.tokens(episode, vision, text).map_err(TrainError::torch(0))?;
            let windows = all.windows(episode, fast, stats);
            match episode.is_for_validation(config.validation_every) {
                true => all.validation.extend(windows),
                false => all.training.extend(windows),
            }
            all.episodes.push(tokens);
            progress(all.episodes.len());
        }
        let mut sum = 0.0;
        let often = config.policy.gripper_windows;
        all.sums = (all.training.iter())
            .map(|window| {
                sum += if window.changes_gripper { often } else { 1.0 };
                sum
            })
            .collect();
        Ok(all)
    }

    /// The training window at `share` (in [0, 1)) of all weights.
    pub fn draw(&self, share: f64) -> &Window {
        let wanted = share * self.sums.last().copied().unwrap_or(0.0);
        let at = self.sums.partition_point(|&sum| sum <= wanted);
        &self.training[at.min(self.training.len() - 1)]
    }

    /// The prompt of a window.
    pub fn prompt(&self, window: &Window) -> Prompt {
        let text = &self.episodes[window.episode].text;
        let images = self.images(window.episode, window.at);
        Prompt::new(&self.ids, text, &images, self.layout.action_slots)
    }

    /// The block to generate: the future images, and the actions with their marks.
    pub fn block(&self, window: &Window) -> [Vec<i64>; 2] {
        let images = self.images(window.episode, window.future);
        let mut images = Prompt::new(&self.ids, &[], &images, self.layout.action_slots).ids;
        images.remove(0);
        let actions = [&[self.ids.boa_token_id], &window.actions[..], &[self.ids.eoa_token_id]];
        [images, actions.concat()]
    }

    fn images(&self, episode: usize, at: usize) -> Vec<ImageTokens> {
        let views = self.episodes[episode].views.iter();
        views
            .map(|(size, codes)| ImageTokens { size: size.clone(), codes: codes[at].clone() })
            .collect()
    }

    fn check(&self, episode: &Episode) -> Result<(), TrainError> {
        let sizes: Vec<[u32; 2]> =
            (episode.views.iter()).map(|view| [view.size.0 as u32, view.size.1 as u32]).collect();
        let wanted: Vec<[u32; 2]> = self.layout.images.iter().map(|image| image.resized).collect();
        match sizes == wanted {
            true => Ok(()),
            false => Err(TrainError::content(
                std::path::Path::new(&episode.name),
                format!("has images of {sizes:?}, the layout wants {wanted:?}"),
            )),
        }
    }

    fn tokens(
        &self,
        episode: &Episode,
        vision: &VisionTokenizer,
        text: &TextTokenizer,
    ) -> Result<Tokens, TchError> {
        let _guard = tch::no_grad_guard();
        let encode = |view: &super::View, at: usize| -> Result<Vec<i64>, TchError> {
            let (height, width) = view.size;
            let image = Tensor::f_from_slice(&pixels(view.frame(at), view.size))?;
            let image = image.f_view([1, 3, height as i64, width as i64])?;
            Vec::try_from(vision.encode(&image).f_view(-1)?)
        };
        let views = episode.views.iter().zip(&self.layout.images).map(|(view, layout)| {
            let codes = (0..episode.steps.len()).map(|at| encode(view, at));
            Ok((text.encode(&layout.size_text()), codes.collect::<Result<_, TchError>>()?))
        });
        Ok(Tokens {
            text: text.encode(&episode.instruction),
            views: views.collect::<Result<_, TchError>>()?,
        })
    }

    fn windows(&self, episode: &Episode, fast: &FastTokenizer, stats: &NormStats) -> Vec<Window> {
        let horizon = usize::from(self.layout.horizon);
        let mut windows = vec![];
        for (at, &step) in episode.steps.iter().enumerate() {
            let Some(chunk) = episode.chunk(step, horizon) else { continue };
            let later = episode.steps.iter().position(|&other| other >= step + horizon);
            let gripper: Vec<f64> =
                chunk.iter().skip(ACTION - 1).step_by(ACTION).copied().collect();
            let chunk = normalized(stats, chunk);
            let actions = fast.encode(&chunk, horizon, ACTION);
            windows.push(Window {
                episode: self.episodes.len(),
                at,
                future: later.unwrap_or(episode.steps.len() - 1),
                task: episode.task,
                actions: actions.iter().map(|id| self.ids.last_action_token_id - id).collect(),
                changes_gripper: gripper.windows(2).any(|pair| pair[0] != pair[1]),
                chunk,
            });
        }
        windows
    }
}
