//! What a policy is trained on: an observation, the chunk that follows, the observation after it.

use std::ops::ControlFlow;

use tch::{TchError, Tensor};

use super::actions::normalized;
use super::config::{PolicySettings, TrainingConfig};
use super::demonstrations::{ACTION, Demonstrations, Episode};
use super::error::TrainError;
use crate::formula;
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
    /// By camera.
    views: Vec<ViewTokens>,
}

/// Tokens of a camera's images.
#[derive(Debug)]
struct ViewTokens {
    /// Ids of the size text.
    size: Vec<i64>,
    /// Codes by variant and observation.
    codes: Vec<Vec<Vec<i64>>>,
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
    /// Encodes everything with a checkpoint's tokenizers; `progress` is told the episodes that are done.
    ///
    /// # Errors
    /// Images of another number or size than the layout's; [`TrainError::Stopped`] after a break of
    /// `progress`.
    pub fn new(
        config: &TrainingConfig,
        ids: &SpecialIds,
        demonstrations: &Demonstrations,
        (vision, text): (&VisionTokenizer, &TextTokenizer),
        (fast, stats): (&FastTokenizer, &NormStats),
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
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
            let is_for_validation = episode.is_for_validation(config.validation_every);
            let variants = if is_for_validation { 1 } else { config.policy.variants };
            let tokens = all
                .tokens(episode, (vision, text), (&config.policy, variants))
                .map_err(TrainError::torch(0))?;
            let windows = all.windows(episode, fast, stats);
            match is_for_validation {
                true => all.validation.extend(windows),
                false => all.training.extend(windows),
            }
            all.episodes.push(tokens);
            if progress(all.episodes.len()).is_break() {
                return Err(TrainError::Stopped);
            }
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

    /// The prompt of a window, in a variant (modulo those that there are).
    pub fn prompt(&self, window: &Window, variant: usize) -> Prompt {
        let text = &self.episodes[window.episode].text;
        let images = self.images(window.episode, window.at, variant);
        Prompt::new(&self.ids, text, &images, self.layout.action_slots)
    }

    /// The block to generate: the future images, and the actions with their marks.
    pub fn block(&self, window: &Window, variant: usize) -> [Vec<i64>; 2] {
        let images = self.images(window.episode, window.future, variant);
        let mut images = Prompt::new(&self.ids, &[], &images, self.layout.action_slots).ids;
        images.remove(0);
        let actions = [&[self.ids.boa_token_id], &window.actions[..], &[self.ids.eoa_token_id]];
        [images, actions.concat()]
    }

    fn images(&self, episode: usize, at: usize, variant: usize) -> Vec<ImageTokens> {
        let image = |ViewTokens { size, codes }: &ViewTokens| ImageTokens {
            size: size.clone(),
            codes: codes[variant % codes.len()][at].clone(),
        };
        self.episodes[episode].views.iter().map(image).collect()
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
        (vision, text): (&VisionTokenizer, &TextTokenizer),
        (settings, variants): (&PolicySettings, usize),
    ) -> Result<Tokens, TchError> {
        let _guard = tch::no_grad_guard();
        let encode = |view: &super::View, change: &Change| {
            let (height, width) = view.size;
            let mut images = vec![];
            for at in 0..episode.steps.len() {
                images.extend(pixels(&change.apply(view.frame(at), view.size), view.size));
            }
            let images = Tensor::f_from_slice(&images)?;
            let images = images.f_view([-1, 3, height as i64, width as i64])?;
            let codes = vision.encode(&images);
            let of = |at| Vec::<i64>::try_from(codes.f_get(at)?.f_view(-1)?);
            (0..codes.size()[0]).map(of).collect::<Result<Vec<_>, TchError>>()
        };
        let views = episode.views.iter().zip(&self.layout.images).enumerate();
        let views = views.map(|(camera, (view, layout))| {
            let variants = (0..variants).map(|variant| {
                let name = format!("variant/{}/{camera}/{variant}", episode.name);
                encode(view, &Change::draw(&name, variant, settings))
            });
            let size = text.encode(&layout.size_text());
            Ok(ViewTokens { size, codes: variants.collect::<Result<_, TchError>>()? })
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

/// How a variant's images differ from the recorded ones: all of one camera and episode alike, so that
/// the future image fits the present one.
struct Change {
    /// Pixels that rows and columns are shifted by.
    shift: [i64; 2],
    /// What values are multiplied by.
    brightness: f64,
}

impl Change {
    /// Drawn by `name`; none for variant 0.
    fn draw(name: &str, variant: usize, settings: &PolicySettings) -> Self {
        if variant == 0 {
            return Self { shift: [0, 0], brightness: 1.0 };
        }
        let numbers = formula::uniform(name, 3);
        let most = settings.shift as f64;
        let pixels = |u: f64| (u * (2.0 * most + 1.0)).floor() as i64 - most as i64;
        Self {
            shift: [pixels(numbers[0]), pixels(numbers[1])],
            brightness: 1.0 + settings.brightness * (2.0 * numbers[2] - 1.0),
        }
    }

    /// An image `[h, w, 3]` after the change; pixels at the edge are repeated.
    fn apply(&self, rgb: &[u8], (height, width): (usize, usize)) -> Vec<u8> {
        let source = |at: usize, shift: i64, count: usize| {
            (at as i64 - shift).clamp(0, count as i64 - 1) as usize
        };
        let mut changed = Vec::with_capacity(rgb.len());
        for row in 0..height {
            let row = source(row, self.shift[0], height);
            for column in 0..width {
                let first = 3 * (row * width + source(column, self.shift[1], width));
                let value = |&byte: &u8| (f64::from(byte) * self.brightness).round() as u8;
                changed.extend(rgb[first..first + 3].iter().map(value));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_moves_pixels_and_repeats_the_edge() {
        let rgb: Vec<u8> = (0..4).flat_map(|pixel| [pixel * 10; 3]).collect(); // 2 x 2
        let gray = |change: Change| -> Vec<u8> {
            change.apply(&rgb, (2, 2)).into_iter().step_by(3).collect()
        };
        assert_eq!(gray(Change { shift: [0, 0], brightness: 1.0 }), [0, 10, 20, 30]);
        assert_eq!(gray(Change { shift: [0, 1], brightness: 1.0 }), [0, 0, 20, 20]);
        assert_eq!(gray(Change { shift: [-1, 0], brightness: 1.0 }), [20, 30, 20, 30]);
        assert_eq!(gray(Change { shift: [0, 0], brightness: 1.1 }), [0, 11, 22, 33]);
    }
}
