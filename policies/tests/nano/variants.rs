//! Targets, layouts, the approximate cache, replicas, future images, remarks.

use std::fs;

use udvla_policies::udvla::{
    Attention, Checkpoint, CheckpointError, DecodingOptions, PrefixCache, Target, UdVla,
    UdVlaOptions, inspect,
};
use udvla_policies::{Answer, Decision, Policy, PolicyInput};

use crate::setting::{chunk, decoder, nano, options, row, subject};

/// The checkpoint with another target; nano's weights do not depend on it.
fn with_target(target: Target) -> tempfile::TempDir {
    let dir = nano();
    let file = dir.path().join("checkpoint.json");
    let text = fs::read_to_string(&file).unwrap();
    let other = format!("\"target\": \"{target}\"");
    fs::write(&file, text.replace("\"target\": \"future\"", &other)).unwrap();
    dir
}

fn decision(policy: &mut UdVla, row: &PolicyInput) -> Decision {
    match policy.infer(std::slice::from_ref(row)).unwrap().remove(0) {
        Answer::Chunk(decision) => decision,
        Answer::Script { .. } | Answer::Lost(_) => panic!("the model answers with chunks"),
    }
}

#[test]
fn without_images_every_decoder_generates_the_actions_alone() {
    let dir = with_target(Target::Null);
    let decodings = [
        DecodingOptions { denoise_steps: Some(4), ..decoder("jd3p") },
        DecodingOptions { action_steps: Some(4), ..decoder("id") },
        decoder("ar"),
        decoder("jacobi"),
    ];
    let mut blocks = vec![];
    for decoding in decodings {
        let left_to_right = decoding.decoder.left_to_right;
        let attention = left_to_right.then_some(Attention::Causal);
        let options =
            UdVlaOptions { attention, decoding: decoding.clone(), ..options("libero", None) };
        let mut policy = UdVla::open(dir.path(), &options).unwrap();
        assert_eq!(policy.block_positions(), 70, "{decoding:?}");
        assert_eq!(subject(policy.spec())["target"], "null");
        let rows = [row(&policy, 0, "go"), row(&policy, 1, "put the bowl on the plate")];
        let mut longest = 0;
        let mut watch = |_, step: &udvla_policies::udvla::decode::Step| {
            longest = longest.max(step.sampled.len());
        };
        let together = policy.infer_watched(&rows, &mut watch).unwrap();
        assert!(longest == 70 || left_to_right, "{decoding:?}: {longest}");
        assert_eq!(policy.infer(&rows[1..]).unwrap()[0], together[1], "{decoding:?}");
        assert!(chunk(&together[0]).values.iter().all(|value| value.is_finite()));
        blocks.push(together);
    }
    // Jacobi to its fixed point is autoregressive decoding.
    assert_eq!(blocks[2], blocks[3]);
    // One stage of the same length and noise under the same rules.
    assert_eq!(blocks[0], blocks[1]);
}

#[test]
fn a_target_is_the_checkpoints_and_another_one_is_refused() {
    for own in Target::ALL {
        let dir = with_target(own);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let facts = inspect::inspect(&checkpoint)[0].facts.join("\n");
        assert!(facts.contains(&format!("target {own}:")), "{facts}");
        for asked in Target::ALL {
            let options = UdVlaOptions { target: Some(asked), ..options("libero", Some(1)) };
            let opened = UdVla::from_checkpoint(&checkpoint, &options);
            match (asked == own, opened) {
                (true, Ok(policy)) => {
                    let positions = if own == Target::Null { 70 } else { 817 };
                    assert_eq!(policy.block_positions(), positions, "{own}");
                    assert_eq!(subject(policy.spec())["target"], own.name());
                }
                (false, Err(error @ CheckpointError::Target { .. })) => {
                    let text = error.to_string();
                    assert!(text.contains(own.name()) && text.contains(asked.name()), "{text}");
                    assert!(error.hint().unwrap().contains("--target"));
                }
                (_, other) => panic!("{own} with {asked}: {other:?}"),
            }
        }
    }
}

#[test]
fn steps_and_future_images_without_generated_images_are_refused() {
    let dir = with_target(Target::Null);
    let stages = DecodingOptions { denoise_steps: Some(4), ..decoder("id") };
    let options = UdVlaOptions { decoding: stages, ..options("libero", None) };
    let error = UdVla::open(dir.path(), &options).unwrap_err().to_string();
    assert!(error.contains("no image stage"), "{error}");
    let futures = UdVlaOptions { futures: true, ..crate::setting::options("libero", None) };
    let error = UdVla::open(dir.path(), &futures).unwrap_err().to_string();
    assert!(error.contains("no future images"), "{error}");
}

#[test]
fn the_approximate_cache_is_another_policy_and_says_so() {
    let dir = nano();
    let open = |prefix_cache, attention, decoding| {
        let attention = Some(attention);
        let decoding = DecodingOptions { denoise_steps: Some(3), ..decoding };
        let options = UdVlaOptions { prefix_cache, attention, decoding, ..options("libero", None) };
        UdVla::open(dir.path(), &options)
    };
    let joint = || decoder("jd3p");
    let mut exact = open(PrefixCache::Exact, Attention::Released, joint()).unwrap();
    let mut cached = open(PrefixCache::Approximate, Attention::Released, joint()).unwrap();
    assert_eq!(exact.spec().subject.approximate, None);
    assert_eq!(subject(cached.spec())["approximate"], "prefix cache");
    let rows = [row(&exact, 0, "go"), row(&exact, 1, "open the drawer")];
    let answers = cached.infer(&rows).unwrap();
    assert_ne!(answers, exact.infer(&rows).unwrap());
    assert_eq!(cached.infer(&rows[1..]).unwrap()[0], answers[1]);
    for attention in [Attention::Hybrid, Attention::ReleasedBidirectional, Attention::Causal] {
        let error = open(PrefixCache::Approximate, attention, joint()).unwrap_err().to_string();
        assert!(error.contains(attention.name()), "{error}");
    }
    let stages = decoder("id");
    let error = open(PrefixCache::Approximate, Attention::Released, stages).unwrap_err();
    assert!(error.to_string().contains("`id` has no approximate"), "{error}");
}

#[test]
fn replicas_are_one_policy() {
    let dir = nano();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let options = options("libero", Some(2));
    let devices = ["cpu".to_owned(), "cpu".to_owned()];
    let mut replicas = UdVla::replicas(&checkpoint, &options, &devices).unwrap();
    let mut alone = UdVla::from_checkpoint(&checkpoint, &options).unwrap();
    let row = row(&alone, 4, "go");
    let wanted = alone.infer(std::slice::from_ref(&row)).unwrap();
    assert_eq!(replicas.len(), 2);
    for replica in &mut replicas {
        assert_eq!(replica.spec(), alone.spec());
        assert_eq!(replica.infer(std::slice::from_ref(&row)).unwrap(), wanted);
    }
}

#[test]
fn another_layout_of_a_benchmark_is_the_papers_chunk() {
    let dir = nano();
    let paper = UdVlaOptions { layout: Some("paper".into()), ..options("simpler", Some(2)) };
    let mut policy = UdVla::open(dir.path(), &paper).unwrap();
    assert_eq!((policy.spec().chunk, policy.block_positions()), (5, 676));
    assert_eq!(subject(policy.spec())["layout"], "paper");
    assert_eq!(subject(policy.spec())["chunk"], "5");
    let row = row(&policy, 0, "go");
    assert_eq!(decision(&mut policy, &row).actions.steps(), 5);
    let none = UdVlaOptions { layout: Some("mine".into()), ..options("simpler", None) };
    let error = UdVla::open(dir.path(), &none).unwrap_err().to_string();
    assert!(error.contains("`simpler-mine`") && error.contains("`simpler-paper`"), "{error}");
}

#[test]
fn a_decision_shows_what_it_expects_when_asked_to() {
    let dir = nano();
    let plain = options("libero", Some(2));
    let mut silent = UdVla::open(dir.path(), &plain).unwrap();
    let mut showing =
        UdVla::open(dir.path(), &UdVlaOptions { futures: true, ..plain.clone() }).unwrap();
    let row = row(&silent, 0, "go");
    let (without, with) = (decision(&mut silent, &row), decision(&mut showing, &row));
    assert!(without.future.is_empty());
    assert_eq!((&with.actions, &with.remarks), (&without.actions, &without.remarks));
    let sizes: Vec<_> = with.future.iter().map(|image| (image.height, image.width)).collect();
    assert_eq!(sizes, [(200, 200), (80, 80)]);
    assert!(with.future.iter().all(|image| image.rgb.iter().any(|byte| *byte != image.rgb[0])));
    assert_eq!(silent.spec().subject, showing.spec().subject);
}

#[test]
fn a_capped_jacobi_remarks_on_what_it_stopped() {
    let dir = nano();
    let decoding = DecodingOptions { jacobi_cap: Some(1), ..decoder("jacobi") };
    let attention = Some(Attention::Causal);
    let options = UdVlaOptions { attention, decoding, ..options("simpler", None) };
    let mut policy = UdVla::open(dir.path(), &options).unwrap();
    let row = row(&policy, 0, "go");
    let remarks = decision(&mut policy, &row).remarks;
    let stopped = remarks.iter().find(|remark| remark.kind == "jacobi-stopped");
    // 636 image positions and 72 action positions in spans of 64.
    let text = &stopped.expect("one pass is not enough").text;
    assert!(text.contains("12 stretches") || text.contains("11 stretches"), "{text}");
}
