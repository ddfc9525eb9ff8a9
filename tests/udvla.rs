//! The model through the whole program: a synthetic checkpoint on the fake simulator's pictures,
//! and on real LIBERO.

use udvla_sims::episode::EpisodeKey;

use crate::support::{Checkpoint, Run, assert_same_outcomes, refused, udvla};
use crate::worker::environment;

#[test]
fn the_model_gives_the_same_records_for_any_workers_and_batches() {
    let Some(python) = environment() else { return };
    let checkpoint = Checkpoint::make();
    let run = |words: &[&str]| {
        let base = ["libero", "--no-progress", "--assets", "stand-ins", "--suite", "object"];
        let base = [&base[..], &["--task", "0", "--task", "6", "--trials", "1"]].concat();
        let (python, checkpoint) = (python.display().to_string(), checkpoint.word());
        let model = ["--python", &python, "--checkpoint", &checkpoint, "--denoise-steps", "2"];
        Run::new(&[&base[..], &model, words].concat())
    };
    let alone = run(&["--workers", "1"]);
    let pool = run(&["--workers", "2", "--max-batch", "2", "--batch-wait", "10000"]);
    for run in [&alone, &pool] {
        let ended = run.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    assert_same_outcomes(&alone.records(), &pool.records());
    let (one, two) = (alone.manifest().batches, pool.manifest().batches);
    assert_eq!((one.rows, one.batches), (56, 56));
    assert!(two.rows == 56 && two.batches < 40, "no batches: {two:?}");
    let subject = pool.manifest().subject;
    assert_eq!((subject.policy.as_deref(), subject.denoise_steps), (Some("udvla"), Some(2)));
}

#[test]
fn the_decode_benchmark_gives_its_figures_and_a_case_to_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let [out, case] =
        ["figures.json", "case.json"].map(|name| folder.path().join(name).display().to_string());
    let words = ["bench", "decode", "--attention", "hybrid", "--denoise-steps", "3"];
    let more = ["--batch", "2", "--repeats", "1", "--out", &out, "--case", &case];
    let ended = udvla(&[&words[..], &more].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("nano: jd3p, hybrid in 3 steps, batch 2, f32"),
        "{}",
        ended.stderr
    );
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    let figures = read(&out);
    // A layer of four products, the last of five and two parts of the head per step; the prompt.
    assert_eq!(figures["weight_products"], 3 * (4 + 5 + 2) + 4 + 1);
    for phase in ["whole", "encode", "prefill", "denoise", "decode"] {
        assert!(figures["seconds"][phase]["median"].as_f64().unwrap() > 0.0, "{phase}");
    }
    let case = read(&case);
    let count = |key: &str| case[key].as_array().unwrap().len();
    assert_eq!((count("block"), count("generated")), (817, 817));
    assert!(!case["generated"].as_array().unwrap().contains(&case["mask_token_id"]));
}

#[test]
fn a_trained_checkpoint_is_measured_on_an_instruction_that_it_knows() {
    let words = ["bench", "decode", "--checkpoint", "udvla-nano", "--benchmark", "libero"];
    let instruction = "pick up the milk and place it in the basket";
    let more = ["--instruction", instruction, "--repeats", "1", "--warm-up", "0"];
    let ended = udvla(&[&words[..], &more].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("udvla-nano: jd3p, hybrid in 8 steps"), "{}", ended.stderr);
}

#[test]
fn every_decoding_has_a_line_a_case_and_the_ids_that_its_rows_get_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [out, case] =
        ["figures.json", "case.json"].map(|name| folder.path().join(name).display().to_string());
    for (decoding, settings, line) in [
        ("id", &["--denoise-steps", "2", "--action-steps", "1"][..], "id, released in 2 + 1 steps"),
        ("ar", &["--attention", "causal"], "ar, causal, batch 2"),
        ("jacobi", &["--attention", "causal"], "jacobi, causal, batch 2"),
    ] {
        let words = ["bench", "decode", "--decoding", decoding, "--batch", "2", "--repeats", "1"];
        let more = ["--warm-up", "0", "--alone", "--out", &out, "--case", &case];
        let ended = udvla(&[&words[..], settings, &more].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
        assert!(ended.stderr.contains("2 rows alone: 0 of"), "{}", ended.stderr);
        let read = |file: &str| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
        };
        let (figures, case) = (read(&out), read(&case));
        assert_eq!((&figures["decoding"], &case["decoding"]), (&decoding.into(), &decoding.into()));
        let counted = figures["released_tokens_per_second"].as_f64().unwrap();
        let seconds = figures["seconds"]["denoise"]["median"].as_f64().unwrap();
        // Two rows; the released two-stage loop counts its 70 action positions.
        let wanted = if decoding == "id" { 140.0 } else { 1634.0 };
        assert!((counted * seconds / wanted - 1.0).abs() < 0.05, "{decoding}: {counted}");
        assert_eq!(case["config"]["vocab_size"].as_u64().map(|size| size > 500), Some(true));
    }
}

#[test]
fn an_inspection_names_what_is_missing_and_draws_the_masks() {
    let checkpoint = Checkpoint::make();
    let picture = checkpoint.path().join("masks.png");
    let words = ["inspect", &checkpoint.word(), "--mask", &picture.display().to_string()];
    let ended = udvla(&words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("0.33 M parameters in 21 tensors"), "{}", ended.stdout);
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_file(checkpoint.path().join("norm_stats.json")).unwrap();
    let ended = udvla(&words);
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    assert!(ended.stdout.contains("norm_stats.json"), "{}", ended.stdout);
    assert!(ended.stderr.contains("faults"), "{}", ended.stderr);
}

#[test]
fn an_imagination_is_a_chunk_and_pictures() {
    let checkpoint = Checkpoint::make();
    let file = |name: &str| checkpoint.path().join(name).display().to_string();
    // A picture of another size than the cameras'.
    let masks = udvla(&["inspect", &checkpoint.word(), "--mask", &file("masks.png")]);
    assert_eq!(masks.code, 0, "{}", masks.stderr);
    let (image, out, film) = (file("masks.png"), file("out.png"), file("film.png"));
    let words = ["--instruction", "go", "--checkpoint", &checkpoint.word(), "--device", "cpu"];
    let words = [&words[..], &["--denoise-steps", "4", "--out", &out]].concat();
    let pair = [&["imagine", &image, &image, "--steps-film", &film][..], &words].concat();
    let ended = udvla(&pair);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let numbers = |line: &&str| line.split_whitespace().all(|word| word.parse::<f64>().is_ok());
    let actions = ended.stdout.lines().filter(numbers);
    let actions = actions.filter(|line| line.split_whitespace().count() == 8);
    assert_eq!(actions.count(), 10, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("0.02 m") && ended.stdout.contains("gripper"),
        "{}",
        ended.stdout
    );
    let size = |file: &str| {
        let bytes = std::fs::read(file).unwrap();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        (number(16), number(20))
    };
    // A heading over two views, now and later; a film has a column per step.
    assert_eq!(size(&out), (4 + 2 * 204, 4 + 22 + 204 + 84));
    assert_eq!(size(&film), (4 + 4 * 204, 4 + 22 + 204 + 84));
    let trace = file("trace.json");
    let other = ["--decoding", "id", "--action-steps", "2", "--trace", &trace];
    let ended = udvla(&[&pair[..], &other].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let trace: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    assert_eq!(trace["steps"].as_array().unwrap().len(), 4 + 2);
    assert!(trace["steps"][0]["fixed"][0]["confidence"].as_f64().unwrap() <= 1.0);
    let causal = ["--decoding", "ar", "--attention", "causal"];
    let words_of_ar = ["--instruction", "go", "--checkpoint", &checkpoint.word(), "--out", &out];
    let ar = [&["imagine", &image, &image][..], &words_of_ar, &causal].concat();
    assert_eq!(udvla(&ar).code, 0);
    let ended = udvla(&[&ar[..], &["--steps-film", &film]].concat());
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`ar` has no denoising steps"), "{}", ended.stderr);
    let ended = udvla(&[&["imagine", &image][..], &words].concat());
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`static`, `gripper`"), "{}", ended.stderr);
    let [of_static, of_gripper] = ["static", "gripper"].map(|name| format!("{name}={image}"));
    let named = ["imagine", "--image", &of_gripper, "--image", &of_static];
    let ended = udvla(&[&named[..], &words].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let ended = udvla(&[&named[..3], &words].concat());
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    assert!(ended.stderr.contains("camera `static` has no image"), "{}", ended.stderr);
}

#[test]
fn the_policy_needs_the_simulators_cameras() {
    let checkpoint = Checkpoint::make();
    let run = Run::fake(&["--checkpoint", &checkpoint.word(), "--trials", "1", "--task", "0"]);
    let ended = run.go();
    // The fake's pictures have another size than the checkpoint's layout.
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stderr.contains("256"), "{}", ended.stderr);
}

#[test]
fn a_missing_checkpoint_is_answered_with_how_to_get_one() {
    let wanted = ["needs a checkpoint", "--checkpoint DIR", "make-checkpoint"];
    refused(&["--policy", "udvla", "--suite", "spatial"], &wanted);
    refused(&["--checkpoint", "/nowhere/ckpt"], &["/nowhere/ckpt", "hint: "]);
}

#[test]
fn an_unknown_device_mask_or_format_is_refused() {
    let checkpoint = Checkpoint::make();
    let with = |flag: &'static str, value: &'static str| {
        refused(&["--checkpoint", &checkpoint.word(), flag, value], &[value]);
    };
    with("--device", "tpu:0");
    with("--attention", "sideways");
    with("--dtype", "f8");
}

#[test]
fn options_of_another_decoding_are_refused() {
    let checkpoint = Checkpoint::make();
    let with = |words: &[&str], expected: &[&str]| {
        refused(&[&["--checkpoint", &checkpoint.word()][..], words].concat(), expected);
    };
    with(&["--sampler", "paper"], &["needs `--temperature", "hint: "]);
    with(&["--temperature", "1"], &["`--temperature` goes with `--sampler paper`"]);
    with(&["--decoding", "id", "--sampler", "paper", "--temperature", "1"], &["--decoding jd3p"]);
    with(&["--decoding", "ar", "--sampler", "released"], &["`--sampler` goes with"]);
    with(&["--decoding", "jacobi", "--denoise-steps", "4"], &["`--denoise-steps` goes with"]);
    with(&["--action-steps", "4"], &["--decoding id"]);
    with(&["--decoding", "ar", "--jacobi-cap", "4"], &["--decoding jacobi"]);
    with(&["--decoding", "ar"], &["needs attention `causal`", "hint: "]);
    with(&["--temperature=-1", "--sampler", "paper"], &["temperature"]);
}

#[test]
fn another_checkpoint_cannot_continue_a_run() {
    let Some(python) = environment() else { return };
    let checkpoint = Checkpoint::make();
    let python = python.display().to_string();
    let words = ["libero", "--no-progress", "--assets", "stand-ins", "--suite", "object"];
    let words = [&words[..], &["--task", "4", "--trials", "1", "--python", &python]].concat();
    let model = ["--checkpoint", &checkpoint.word(), "--denoise-steps", "1"];
    let run = Run::new(&[&words[..], &model].concat());
    assert_eq!(run.go().code, 0);
    assert!(run.records().contains_key(&EpisodeKey { suite: "object".into(), task: 4, trial: 0 }));
    let path = checkpoint.path().join("norm_stats.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n")).unwrap();
    let ended = run.resume();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("subject.checkpoint"), "{}", ended.stderr);
}
