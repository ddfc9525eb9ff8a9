//! Behavior of a valid checkpoint.

use std::fs;

use tempfile::TempDir;
use udvla_policies::udvla::decode::Step;
use udvla_policies::udvla::{
    Attention, CheckpointError, DecodingOptions, Sampler, Target, UdVla, UdVlaOptions,
    make_checkpoint, products,
};
use udvla_policies::{Answer, Policy, PolicyError, PolicyInput};
use udvla_sims::observation::Image;

use crate::setting::{chunk, decoder, list, nano, open, options, row, subject};

#[test]
fn a_whole_libero_decision_gives_a_chunk_of_finite_actions() {
    let dir = nano();
    let policy = open(&dir, "libero", None);
    let row = row(&policy, 0, "put both moka pots on the stove");
    let mut steps = vec![];
    let answers = policy.infer_watched(&[row], &mut |_, step| steps.push(step.clone())).unwrap();
    let chunk = chunk(&answers[0]);
    assert_eq!((chunk.steps(), chunk.width), (10, 7));
    assert!(chunk.values.iter().all(|value| value.is_finite()));
    assert!(chunk.values.chunks(7).all(|action| action[6].abs() == 1.0), "{chunk:?}");

    assert_eq!(steps.len(), 72);
    let left = [9, 24, 36, 48, 60, 71, 72].map(|step: usize| steps[step - 1].masked.len());
    assert_eq!(left, [801, 707, 577, 408, 211, 17, 1]);
    let (first, last) = (&steps[0], &steps[71]);
    for given in [0, 635, 636, 746, 747] {
        let ids: Vec<i64> = steps.iter().map(|step| step.sampled[given]).collect();
        assert!(ids.iter().all(|id| *id == first.sampled[given]), "position {given}: {ids:?}");
    }
    let mask = 256 + 3 + 202;
    assert!(!last.sampled.contains(&mask), "a position is still unknown");
    for pair in steps.windows(2) {
        let fixed = (0..817).filter(|at| !pair[0].masked.contains(at));
        let moved = fixed.filter(|&at| pair[0].sampled[at] != pair[1].sampled[at]).count();
        assert_eq!(moved, 0, "step {} moved what was fixed", pair[1].step);
    }
}

#[test]
fn every_benchmark_answers_in_its_own_shape() {
    let dir = nano();
    for (benchmark, cameras) in [
        ("calvin", &[("static", 200, 200), ("gripper", 84, 84)][..]),
        ("libero", &[("agentview", 256, 256), ("eye_in_hand", 256, 256)]),
        ("simpler", &[("third_person", 480, 640)]),
    ] {
        let mut policy = open(&dir, benchmark, Some(2));
        let spec = policy.spec().clone();
        let named: Vec<_> =
            spec.cameras.iter().map(|c| (c.name.as_str(), c.height, c.width)).collect();
        assert_eq!(named, cameras);
        assert_eq!((spec.chunk, spec.action_width), (10, 7));
        let row = row(&policy, 1, "go");
        let answers = policy.infer(&[row]).unwrap();
        assert!(chunk(&answers[0]).values.iter().all(|value| value.is_finite()), "{benchmark}");
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_nor_on_what_was_asked_before() {
    let dir = nano();
    let mut policy = open(&dir, "libero", Some(4));
    let texts = ["go", "put the white mug on the left plate", "close the drawer", "go"];
    let rows: Vec<_> =
        texts.iter().zip(0..).map(|(text, trial)| row(&policy, trial, text)).collect();
    let together = policy.infer(&rows).unwrap();
    for (row, answer) in rows.iter().zip(&together).rev() {
        assert_eq!(policy.infer(std::slice::from_ref(row)).unwrap()[0], *answer, "{}", row.key);
    }
    let mut reopened = open(&dir, "libero", Some(4));
    assert_eq!(reopened.infer(&rows[2..3]).unwrap()[0], together[2]);

    let answer = |change: fn(&mut PolicyInput)| {
        let mut row = rows[0].clone();
        change(&mut row);
        open(&dir, "libero", Some(4)).infer(&[row]).unwrap().remove(0)
    };
    assert_ne!(answer(|row| row.call = 1), together[0]);
    assert_ne!(answer(|row| row.seed = 1), together[0]);
    assert_ne!(answer(|row| row.key.trial = 9), together[0]);
}

#[test]
fn eight_rows_take_as_many_products_as_one_and_get_the_same_ids() {
    let dir = nano();
    let words = ["open", "push the sliding door to the left side", "turn off the light", "a"];
    for attention in Attention::ALL {
        let options = UdVlaOptions { attention: Some(attention), ..options("calvin", Some(6)) };
        let policy = UdVla::open(dir.path(), &options).unwrap();
        let texts = (0..8).map(|trial: usize| words[trial % 4].repeat(1 + trial / 4));
        let rows: Vec<_> = texts.zip(0..).map(|(text, trial)| row(&policy, trial, &text)).collect();
        let decode = |rows: &[PolicyInput]| {
            let mut blocks = vec![vec![]; rows.len()];
            let before = products();
            let mut watch = |row: usize, step: &Step| blocks[row].push(step.clone());
            let answers = policy.infer_watched(rows, &mut watch).unwrap();
            (blocks, answers, products() - before)
        };
        let (together, answers, products) = decode(&rows);
        // Four products per layer, five in the last (separate queries), two parts of the head; for
        // the prompt only keys and values of the last layer.
        assert_eq!(products, 6 * (4 + 5 + 2) + 4 + 1, "{attention}");
        for (index, row) in rows.iter().enumerate() {
            let (alone, answer, count) = decode(std::slice::from_ref(row));
            assert_eq!(alone[0], together[index], "{attention}: row {index}");
            assert_eq!((&answer[0], count), (&answers[index], products), "{attention}");
        }
    }
}

#[test]
fn all_four_attentions_run_and_differ() {
    let dir = nano();
    let answers: Vec<Answer> = Attention::ALL
        .into_iter()
        .map(|attention| {
            let options = UdVlaOptions { attention: Some(attention), ..options("libero", Some(3)) };
            let mut policy = UdVla::open(dir.path(), &options).unwrap();
            assert_eq!(subject(policy.spec())["attention"], attention.name());
            let row = row(&policy, 0, "go");
            policy.infer(&[row]).unwrap().remove(0)
        })
        .collect();
    for (index, answer) in answers.iter().enumerate() {
        assert!(!answers[..index].contains(answer), "{} repeats another", Attention::ALL[index]);
    }
}

#[test]
fn every_number_format_runs() {
    let dir = nano();
    for dtype in ["f64", "bf16", "f16"] {
        let options = UdVlaOptions { dtype: Some(dtype.into()), ..options("simpler", Some(2)) };
        let mut policy = UdVla::open(dir.path(), &options).unwrap();
        assert_eq!(subject(policy.spec())["dtype"], dtype);
        let row = row(&policy, 0, "go");
        let answers = policy.infer(&[row]).unwrap();
        assert!(chunk(&answers[0]).values.iter().all(|value| value.is_finite()), "{dtype}");
    }
}

#[test]
fn the_spec_names_what_is_tested() {
    let dir = nano();
    let policy = open(&dir, "libero", Some(5));
    let subject = subject(policy.spec());
    assert!(subject["checkpoint"].starts_with("sha256:"));
    for (key, value) in [
        ("policy", "udvla"),
        ("target", "future"),
        ("attention", "released"),
        ("sampler", "released"),
        ("decoding", "jd3p"),
        ("denoise_steps", "5"),
        ("chunk", "10"),
        ("dtype", "f32"),
        ("noise", "1"),
    ] {
        assert_eq!(subject[key], value, "{key}");
    }
    let setting = &policy.spec().setting;
    assert_eq!(setting.device.as_deref(), Some("cpu"));
    assert!(setting.libtorch.as_ref().unwrap().starts_with("2.11"));
}

#[test]
fn the_same_seed_writes_the_same_checkpoint_and_another_seed_another() {
    let [first, second, other] =
        [nano(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    make_checkpoint("nano", 0, Target::Future, second.path()).unwrap();
    make_checkpoint("nano", 1, Target::Future, other.path()).unwrap();
    let digest = |dir| open(dir, "libero", None).spec().subject.checkpoint.clone();
    assert_eq!(digest(&first), digest(&second));
    assert_ne!(digest(&first), digest(&other));
    let files = |dir: &TempDir| {
        let mut files = list(dir.path());
        files.sort();
        files.iter().map(|file| fs::read(dir.path().join(file)).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(files(&first), files(&second));
}

#[test]
fn nothing_is_overwritten_and_presets_have_names() {
    let dir = nano();
    let error = make_checkpoint("nano", 0, Target::Future, dir.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::NotEmpty { .. }), "{error:?}");
    let error = make_checkpoint("huge", 0, Target::Future, &dir.path().join("new")).unwrap_err();
    assert_eq!(error.to_string(), "preset `huge` is not one of nano, medium");
    assert!(!dir.path().join("new").exists());
}

#[test]
fn images_of_another_size_or_number_are_refused() {
    let dir = nano();
    let mut policy = open(&dir, "libero", Some(1));
    let whole = row(&policy, 0, "go");
    let refused = |change: fn(&mut Vec<Image>)| {
        let mut row = whole.clone();
        change(&mut row.observation.images);
        row
    };
    for row in [
        refused(|images| images.truncate(1)),
        refused(|images| images[0].height = 128),
        refused(|images| images[1].rgb.truncate(99)),
        refused(Vec::clear),
    ] {
        let error = policy.infer(&[whole.clone(), row]).unwrap_err();
        assert!(matches!(error, PolicyError::Observation { .. }), "{error:?}");
        assert!(error.to_string().contains("`agentview` 256x256"), "{error}");
    }
}

#[test]
fn an_instruction_that_does_not_fit_is_an_error() {
    let dir = nano();
    let mut policy = open(&dir, "libero", Some(1));
    let row = row(&policy, 0, &"go ".repeat(300));
    let error = policy.infer(&[row]).unwrap_err();
    assert!(error.to_string().contains("longer than the model's 2048"), "{error}");
}

#[test]
fn every_decoding_answers_and_says_what_it_is() {
    let dir = nano();
    let paper = DecodingOptions {
        sampler: Some(Sampler::Paper),
        temperature: Some(0.5),
        ..decoder("jd3p")
    };
    let stages = DecodingOptions { action_steps: Some(2), ..decoder("id") };
    let capped = DecodingOptions { jacobi_cap: Some(1), ..decoder("jacobi") };
    let keys = ["decoding", "sampler", "temperature", "denoise_steps", "action_steps"];
    for (decoding, steps, wanted) in [
        (paper, Some(3), [Some("jd3p"), Some("paper"), Some("0.5"), Some("3"), None]),
        (stages, Some(3), [Some("id"), Some("released"), None, Some("3"), Some("2")]),
        (decoder("ar"), None, [Some("ar"), None, None, None, None]),
        (capped, None, [Some("jacobi"), None, None, None, None]),
    ] {
        let attention = decoding.decoder.left_to_right.then_some(Attention::Causal);
        let decoding = DecodingOptions { denoise_steps: steps, ..decoding };
        let options =
            UdVlaOptions { attention, decoding: decoding.clone(), ..options("simpler", None) };
        let mut policy = UdVla::open(dir.path(), &options).unwrap();
        let subject = subject(policy.spec());
        assert_eq!(keys.map(|key| subject.get(key).map(String::as_str)), wanted, "{decoding:?}");
        let rows = [row(&policy, 0, "go"), row(&policy, 1, "stop")];
        let together = policy.infer(&rows).unwrap();
        assert_eq!(policy.infer(&rows[1..]).unwrap()[0], together[1], "{decoding:?}");
        assert!(chunk(&together[0]).values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_papers_sampler_leaves_no_mask_and_masks_nothing_again() {
    let dir = nano();
    let mask = 256 + 3 + 202;
    for steps in [1, 4, 8, 16, 72, 128] {
        let decoding = DecodingOptions {
            denoise_steps: Some(steps),
            sampler: Some(Sampler::Paper),
            temperature: Some(1.0),
            ..decoder("jd3p")
        };
        let options = UdVlaOptions { decoding, ..options("simpler", None) };
        let policy = UdVla::open(dir.path(), &options).unwrap();
        let row = row(&policy, 0, "go");
        let mut seen = vec![];
        policy.infer_watched(&[row], &mut |_, step| seen.push(step.clone())).unwrap();
        assert_eq!(seen.len(), usize::from(steps));
        let last = seen.last().unwrap();
        assert!(last.masked.is_empty() && !last.sampled.contains(&mask), "{steps} steps");
        for pair in seen.windows(2) {
            assert!(pair[1].masked.iter().all(|at| pair[0].masked.contains(at)), "{steps}");
            let fixed = (0..708).filter(|at| !pair[0].masked.contains(at));
            let moved = fixed.filter(|&at| pair[0].sampled[at] != pair[1].sampled[at]).count();
            assert_eq!(moved, 0, "step {} of {steps} moved what was fixed", pair[1].step);
        }
    }
}

#[test]
fn decodings_that_make_no_sense_are_refused() {
    let dir = nano();
    let refused = |decoding| {
        let options = UdVlaOptions { decoding, ..options("libero", None) };
        UdVla::open(dir.path(), &options).unwrap_err().to_string()
    };
    let error = refused(decoder("ar"));
    assert!(error.contains("needs attention `causal`, not `released`"), "{error}");
    let error = refused(DecodingOptions { denoise_steps: Some(4), ..decoder("jacobi") });
    assert!(error.contains("no denoising steps"), "{error}");
    let error = refused(DecodingOptions { action_steps: Some(0), ..decoder("id") });
    assert!(error.contains("action steps of 0"), "{error}");
    for temperature in [-0.5, f64::NAN, f64::INFINITY] {
        let error = refused(DecodingOptions {
            sampler: Some(Sampler::Paper),
            temperature: Some(temperature),
            ..decoder("jd3p")
        });
        assert!(error.contains("temperature"), "{error}");
    }
}

#[test]
fn options_that_a_decoder_does_not_have_are_refused() {
    let dir = nano();
    for (decoding, wanted) in [
        (DecodingOptions { temperature: Some(1.0), ..decoder("jd3p") }, "has no temperature"),
        (DecodingOptions { sampler: Some(Sampler::Paper), ..decoder("jd3p") }, "needs a temper"),
        (DecodingOptions { action_steps: Some(4), ..decoder("jd3p") }, "no action steps"),
        (DecodingOptions { sampler: Some(Sampler::Paper), ..decoder("id") }, "released sampler"),
        (DecodingOptions { sampler: Some(Sampler::Released), ..decoder("ar") }, "no sampler"),
        (DecodingOptions { jacobi_cap: Some(4), ..decoder("ar") }, "no cap of iterations"),
    ] {
        let options = UdVlaOptions { decoding, ..options("libero", None) };
        let error = UdVla::open(dir.path(), &options).unwrap_err().to_string();
        assert!(error.contains(wanted), "no `{wanted}` in {error}");
    }
}

#[test]
fn independent_diffusion_decodes_a_batch_together_to_the_ids_of_each_row_alone() {
    let dir = nano();
    let texts = ["open", "push the sliding door to the left side", "turn off the light", "a"];
    for attention in Attention::ALL {
        let decoding =
            DecodingOptions { denoise_steps: Some(5), action_steps: Some(4), ..decoder("id") };
        let attention = Some(attention);
        let options = UdVlaOptions { attention, decoding, ..options("calvin", None) };
        let policy = UdVla::open(dir.path(), &options).unwrap();
        let rows: Vec<_> =
            texts.iter().zip(0..).map(|(text, trial)| row(&policy, trial, text)).collect();
        let decode = |rows: &[PolicyInput]| {
            let mut steps = vec![vec![]; rows.len()];
            let before = products();
            let mut watch = |row: usize, step: &Step| steps[row].push(step.clone());
            let answers = policy.infer_watched(rows, &mut watch).unwrap();
            (steps, answers, products() - before)
        };
        let (steps, answers, count) = decode(&rows);
        for (index, row) in rows.iter().enumerate() {
            let alone = std::slice::from_ref(row);
            let (own_steps, own_answer, own_count) = decode(alone);
            assert_eq!(own_steps[0], steps[index], "{attention:?}: row {index}");
            assert_eq!((&own_answer[0], own_count), (&answers[index], count), "{attention:?}");
        }
    }
}
