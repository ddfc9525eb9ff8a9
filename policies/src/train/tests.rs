//! Trainings on small made-up demonstrations.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize};
use tch::Tensor;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Image, Observation};

use super::*;
use crate::normalize::NormStats;
use crate::tokens::{FastTokenizer, TextTokenizer};
use crate::udvla::checkpoint::{Checkpoint, FAST_CONFIG, FAST_TOKENIZER};
use crate::udvla::model::training::UNSCORED;
use crate::udvla::{DecodingOptions, UdVla, UdVlaOptions};
use crate::{Answer, Policy, PolicyInput, formula};

mod whole_sequences;

/// Control steps of an episode, and control steps between two observations.
const STEPS: usize = 40;
const EVERY: usize = 5;
/// Height and width of an image.
const SIDE: usize = 16;

fn config() -> TrainingConfig {
    let mut config: TrainingConfig =
        serde_json::from_str(include_str!("../../nano/object.json")).unwrap();
    assert_eq!(config.fault(), None);
    for image in &mut config.layout.images {
        image.resized = [SIDE as u32; 2];
    }
    config.layout.size_characters = "*12".into();
    config.validation_every = 4;
    config.vision.steps = 6;
    config.vision.batch = 8;
    let policy = &mut config.policy;
    (policy.hidden_size, policy.intermediate_size, policy.layers) = (32, 48, 2);
    (policy.heads, policy.key_heads, policy.batch) = (4, 2, 12);
    for stage in &mut policy.stages {
        stage.steps = 4;
        stage.optimizing.warmup = 1;
    }
    config
}

/// Writes an episode in which a bright square moves as the actions say.
fn write_episode(folder: &Path, trial: usize, success: bool) {
    let numbers = formula::uniform(&format!("episode/{trial}"), 2);
    let label = |step: usize, dimension: usize| match dimension {
        6 => {
            if step < 20 {
                -1.0
            } else {
                1.0
            }
        }
        _ => (6.0 * numbers[dimension % 2] + 0.1 * step as f64).sin() as f32 * 0.5,
    };
    let labels: Vec<f32> = (0..STEPS)
        .flat_map(|step| (0..7).map(move |d| (step, d)))
        .map(|(s, d)| label(s, d))
        .collect();
    let steps: Vec<i64> = (0..=STEPS).step_by(EVERY).map(|step| step as i64).collect();
    let place = |step: i64| (6.0 * numbers[0] + 0.1 * step as f64).sin() * 5.0 + 8.0;
    let image = |step: i64| {
        let place = place(step);
        (0..SIDE * SIDE * 3).map(move |at| {
            let (row, column) = (at / 3 / SIDE, at / 3 % SIDE);
            let near = (row as f64 - place).abs() < 3.0 && (column as f64 - place).abs() < 3.0;
            if near { 220_u8 } else { 20 + (at * at % 97) as u8 }
        })
    };
    let view: Vec<u8> = steps.iter().flat_map(|&step| image(step)).collect();
    let mut noisy = vec![0_u8; STEPS];
    noisy[12] = 1;
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let labels = bytes(&labels);
    let target = steps.iter().flat_map(|&step| [place(step) as f32 * 0.01, 0.0, 0.0]);
    let target = bytes(&target.collect::<Vec<_>>());
    let words: Vec<u8> = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
    let count = steps.len();
    let tensor = |kind, shape: &[usize], data| TensorView::new(kind, shape.to_vec(), data).unwrap();
    let tensors = [
        ("view0", tensor(Dtype::U8, &[count, SIDE, SIDE, 3], &view)),
        ("view1", tensor(Dtype::U8, &[count, SIDE, SIDE, 3], &view)),
        ("steps", tensor(Dtype::I64, &[count], &words)),
        ("labels", tensor(Dtype::F32, &[STEPS, 7], &labels)),
        ("noisy", tensor(Dtype::U8, &[STEPS], &noisy)),
        ("target", tensor(Dtype::F32, &[count, 3], &target)),
    ];
    let notes = [
        ("success", success.to_string()),
        ("task", "0".into()),
        ("trial", trial.to_string()),
        ("instruction", "pick up the milk and place it in the basket".into()),
    ];
    let notes = notes.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let file = folder.join("episodes").join(format!("object-task00-{trial:04}.safetensors"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, serialize(tensors, Some(notes)).unwrap()).unwrap();
}

struct Folder {
    dir: tempfile::TempDir,
    demonstrations: Demonstrations,
}

impl Folder {
    fn new() -> Self {
        Self::of(8)
    }

    /// `count` episodes, of which the sixth failed.
    fn of(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        (0..count).for_each(|trial| write_episode(dir.path(), trial, trial != 5));
        let demonstrations = Demonstrations::open(&[dir.path().to_owned()]).unwrap();
        assert_eq!((demonstrations.episodes.len(), demonstrations.failed), (count - 1, 1));
        Self { dir, demonstrations }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A trained vision tokenizer and fitted tokenizers, in the folder.
    fn prepare(&self, config: &TrainingConfig) -> VisionTrainer {
        let mut vision = VisionTrainer::new(config, 0).unwrap();
        vision.advance(&self.demonstrations, 1).unwrap();
        vision.export(&self.file("vision")).unwrap();
        fit_actions(config, &self.demonstrations, self.dir.path()).unwrap();
        vision
    }

    fn policy(&self, config: &TrainingConfig) -> (PolicyTrainer, Windows, FastTokenizer) {
        let vision = self.prepare(config).encoder().unwrap();
        let text = TextTokenizer::open(
            &self.file("text/ranks.tiktoken"),
            Some(&self.file("text/vision_tokens.txt")),
        )
        .unwrap();
        let [a, b] = [FAST_TOKENIZER, FAST_CONFIG].map(|name| self.file("fast").join(name));
        let fast = FastTokenizer::open(&a, &b).unwrap();
        let stats = NormStats::open(&self.file("norm_stats.json"), "libero").unwrap();
        let sizes = (text.special("<|endoftext|>").unwrap() as usize, fast.vocabulary());
        let trainer = PolicyTrainer::new(config, sizes, 12, 3).unwrap();
        let windows = Windows::new(
            config,
            trainer.ids(),
            &self.demonstrations,
            (&vision, &text),
            (&fast, &stats),
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        (trainer, windows, fast)
    }
}

#[test]
fn windows_with_a_disturbed_step_are_left_out_and_the_last_chunk_is_padded() {
    let folder = Folder::new();
    let episode = &folder.demonstrations.episodes[0];
    let whole: Vec<usize> =
        episode.steps.iter().copied().filter(|&step| episode.chunk(step, 10).is_some()).collect();
    // Step 12 is disturbed; after the last action there is nothing to learn.
    assert_eq!(whole, [0, 15, 20, 25, 30, 35]);
    let chunk = episode.chunk(35, 10).unwrap();
    assert_eq!(chunk[5 * 7..6 * 7], chunk[4 * 7..5 * 7]);
    assert_eq!(
        chunk[..7].iter().map(|v| *v as f32).collect::<Vec<_>>(),
        episode.labels[35 * 7..36 * 7]
    );
}

#[test]
fn a_vision_training_is_the_same_with_more_threads_and_after_a_pause() {
    let folder = Folder::new();
    let config = config();
    let train = |threads: usize, pause: bool| {
        let mut trainer = VisionTrainer::new(&config, 7).unwrap();
        let mut losses = vec![];
        for step in 0..config.vision.steps {
            if pause && step == 3 {
                let state = folder.file("vision.state.safetensors");
                trainer.save(&state).unwrap();
                trainer = VisionTrainer::new(&config, 7).unwrap();
                trainer.resume(&state).unwrap();
            }
            losses.push(trainer.advance(&folder.demonstrations, threads).unwrap());
        }
        losses
    };
    let plain = train(1, false);
    assert_eq!(plain, train(2, false));
    assert_eq!(plain, train(2, true));
    assert!(plain[5][0].1 < plain[0][0].1, "{plain:?}");
}

#[test]
fn a_policy_training_is_the_same_with_more_threads_and_after_a_pause() {
    let folder = Folder::new();
    let config = config();
    let train = |threads: usize, pause: bool| {
        let (mut trainer, windows, fast) = folder.policy(&config);
        let mut figures = vec![];
        while trainer.stage().is_some() {
            // In the middle of the second of three stages.
            if pause && trainer.progress().0 == 6 {
                let state = folder.file("policy.state.safetensors");
                trainer.save(&state).unwrap();
                (trainer, _, _) = folder.policy(&config);
                trainer.resume(&state).unwrap();
            }
            figures.push(trainer.advance(&windows, threads).unwrap());
        }
        let arms = trainer.arms(&windows, &fast, 4, 6).unwrap();
        assert!(arms.windows == 6 && arms.truth.is_finite() && arms.truth != arms.random);
        (figures, trainer.validate(&windows, &fast, 4, 6).unwrap())
    };
    let plain = train(1, false);
    assert_eq!(plain, train(2, false));
    assert_eq!(plain, train(3, true));
    let names = |at: usize| plain.0[at].iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(0), ["regression", "loss", "gradient", "rate"]);
    assert_eq!(names(4), ["images", "loss", "gradient", "rate"]);
    assert_eq!(names(8), ["regression", "images", "actions", "loss", "gradient", "rate"]);
    assert_eq!(plain.1.windows, 6);
}

#[test]
fn inverse_dynamics_shows_nine_in_ten_codes_of_the_future_and_asks_for_actions_alone() {
    let folder = Folder::new();
    let (trainer, windows, _) = folder.policy(&config());
    let ids = trainer.ids();
    let images = windows.block(&windows.training[0], 0)[0].len();
    for shard in trainer.shards(&windows, Objective::Actions, 5) {
        for block in shard.blocks.iter().flatten() {
            let hidden =
                |ids_of: &[i64]| ids_of.iter().filter(|&&id| id == ids.mask_token_id).count();
            assert!((1..=images.div_ceil(10)).contains(&hidden(&block.ids[..images])));
            assert!(block.labels[..images].iter().all(|&label| label == UNSCORED));
            assert!(block.labels[images..].iter().any(|&label| label != UNSCORED));
        }
    }
}

#[test]
fn a_state_of_other_settings_or_another_seed_is_refused() {
    let folder = Folder::new();
    let state = folder.file("vision.state.safetensors");
    VisionTrainer::new(&config(), 7).unwrap().save(&state).unwrap();
    let mut other = config();
    other.vision.edges = 0.5;
    for (config, seed, wanted) in [(&config(), 8, "another seed"), (&other, 7, "other settings")] {
        let error = VisionTrainer::new(config, seed).unwrap().resume(&state).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_trained_checkpoint_is_one_that_evaluations_run() {
    let folder = Folder::new();
    let config = config();
    let (mut trainer, windows, _) = folder.policy(&config);
    trainer.advance(&windows, 1).unwrap();
    trainer.export(folder.dir.path()).unwrap();
    let (mut later, _, _) = folder.policy(&config);
    let trained = trainer.parameters.averages().unwrap();
    assert!(later.parameters.tensors().unwrap().iter().any(|(name, own)| *own != trained[name]));
    later.start_from(&Checkpoint::open(folder.dir.path()).unwrap()).unwrap();
    assert!(later.parameters.tensors().unwrap().iter().all(|(name, own)| *own == trained[name]));
    // Its tokenizers go into a new folder, again into the same one, and over no others.
    let checkpoint = Checkpoint::open(folder.dir.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    take_tokenizers(&checkpoint, out.path()).unwrap();
    take_tokenizers(&checkpoint, out.path()).unwrap();
    let copy = out.path().join("vision/model.safetensors");
    assert_eq!(
        std::fs::read(&copy).unwrap(),
        std::fs::read(folder.file("vision/model.safetensors")).unwrap()
    );
    std::fs::write(&copy, "another").unwrap();
    let error = take_tokenizers(&checkpoint, out.path()).unwrap_err();
    assert!(error.to_string().contains("is of another training"), "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), b"another");
    let options = UdVlaOptions {
        benchmark: "libero".into(),
        device: "cpu".into(),
        ..UdVlaOptions::default()
    };
    let mut policy = UdVla::open(folder.dir.path(), &options).unwrap();
    let image = || Image { height: 256, width: 256, rgb: vec![90; 256 * 256 * 3] };
    let input = PolicyInput {
        key: EpisodeKey { suite: "object".into(), task: 0, trial: 0 },
        call: 0,
        seed: 0,
        seat: 0,
        observation: Observation {
            images: vec![image(), image()],
            state: vec![],
            instruction: "pick up the milk and place it in the basket".into(),
            stage: 0,
        },
    };
    let subject = &policy.spec().subject;
    assert_eq!((subject.sampler.as_deref(), subject.temperature), (Some("paper"), Some(0.0)));
    let chunk = |policy: &mut UdVla, inputs: &[PolicyInput]| {
        let answers = policy.infer(inputs).unwrap();
        let Answer::Chunk(decision) = answers.into_iter().next().unwrap() else {
            panic!("a chunk")
        };
        decision.actions
    };
    let actions = chunk(&mut policy, std::slice::from_ref(&input));
    assert_eq!((actions.steps(), actions.width), (10, 7));

    let decoding = DecodingOptions { decoder: "regression".parse().unwrap(), ..Default::default() };
    let mut baseline =
        UdVla::open(folder.dir.path(), &UdVlaOptions { decoding, ..options }).unwrap();
    let regressed = chunk(&mut baseline, std::slice::from_ref(&input));
    assert_ne!(regressed, actions);
    // A row does not depend on its neighbors, and the longest instruction still fits.
    let mut other = input.clone();
    other.observation.instruction = "pick up the ketchup".into();
    assert_eq!(chunk(&mut baseline, &[input, other]), regressed);

    std::fs::remove_dir_all(folder.file("regression")).unwrap();
    let error = UdVla::open(
        folder.dir.path(),
        &UdVlaOptions {
            decoding: DecodingOptions {
                decoder: "regression".parse().unwrap(),
                ..Default::default()
            },
            benchmark: "libero".into(),
            device: "cpu".into(),
            ..UdVlaOptions::default()
        },
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`udvla-eval train` leaves"), "{error}");
}

#[test]
fn the_probe_finds_the_object_only_where_the_images_show_it() {
    let shown = Folder::of(40);
    let mut hidden = Folder::of(40);
    for view in hidden.demonstrations.episodes.iter_mut().flat_map(|episode| &mut episode.views) {
        view.frames.fill(90);
    }
    let errors = [&shown, &hidden].map(|folder| {
        let vision = folder.prepare(&config()).encoder().unwrap();
        let found = probe(&config(), &folder.demonstrations, &vision, 0).unwrap();
        [found.from_codes, found.from_latents].map(|error| error / found.from_nothing)
    });
    assert!(errors[0][1] < 0.5 && errors[0][0] < 0.8, "{errors:?}");
    assert!(errors[1][1] > 0.8 && errors[1][0] > 0.8, "{errors:?}");
}

#[test]
fn near_codes_and_near_actions_start_alike() {
    let folder = Folder::new();
    let config = config();
    let (trainer, _, _) = folder.policy(&config);
    let ids = trainer.ids();
    let tensors = trainer.parameters.tensors().unwrap();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let alike = |a: i64, b: i64| {
            let [a, b] = [a, b].map(|id| tensors[name].get(id));
            Tensor::cosine_similarity(&a, &b, 0, 1e-8).double_value(&[])
        };
        // Codes of a grid of 5 values in 4 dimensions: one step in one, and opposite corners.
        let (first, last) = (ids.bov_token_id, ids.eov_token_id);
        assert!(alike(first, first + 1) > 0.6, "{name}: {}", alike(first, first + 1));
        assert!(alike(first, last) < -0.6, "{name}: {}", alike(first, last));
        let action = ids.eov_token_id + 20;
        assert!(alike(action, action + 1) > 0.6, "{name}: {}", alike(action, action + 1));
        assert!(alike(action, action + 9) < 0.6, "{name}: {}", alike(action, action + 9));
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut levels = config();
    levels.vision.levels = 4;
    let mut copies = config();
    copies.policy.copies = 0;
    let mut heads = config();
    heads.policy.key_heads = 3;
    let mut width = config();
    width.policy.hidden_size = 36;
    let mut kept = config();
    kept.validation_every = 1;
    let mut own = config();
    own.policy.own_copies = 3;
    let mut sharp = config();
    sharp.policy.action_blur = -1.0;
    let mut merged = config();
    merged.actions.merges = 1;
    for (wanted, config) in [
        ("values in", levels),
        ("batch of nothing", copies),
        ("key heads", heads),
        ("even number per head", width),
        ("every episode", kept),
        ("its own actions in 3 of 2", own),
        ("by -1, not by 0 to 10", sharp),
        ("have no order", merged),
    ] {
        let fault = config.fault().unwrap_or_default();
        assert!(fault.contains(wanted), "`{fault}` lacks `{wanted}`");
    }
}

#[test]
fn a_damaged_episode_is_named() {
    let folder = Folder::new();
    let file = folder.file("episodes/object-task00-0002.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, bytes).unwrap();
    let error = Demonstrations::open(&[folder.dir.path().to_owned()]).unwrap_err();
    assert!(error.to_string().contains("0002.safetensors"), "{error}");
}
