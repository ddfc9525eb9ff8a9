//! Bytes from workers that nobody wrote: an answer or an error, never a panic, and nothing is
//! believed that cannot be.

mod exercise;
#[path = "../../../results/tests/mutate.rs"]
mod mutate;

use mutate::{apply, config, cut, odd, set};
use proptest::prelude::*;
use serde_json::{Value, json};
use udvla_sims::wire::{send, to_bytes};

/// An episode in which every request was answered as it should be: a header and a body each.
fn replies() -> Vec<(Value, Vec<u8>)> {
    let observed = |stage: u16, steps: u32| {
        let header = json!({
            "kind": "observed", "stage": stage, "steps": steps,
            "instruction": "push the block", "images": [[2, 3]],
        });
        (header, [vec![9; 18], to_bytes(&[0.25, -1.0])].concat())
    };
    let mut replies: Vec<_> = (0..36).map(|chunk| observed(0, 10 * chunk)).collect();
    let end = json!({
        "kind": "finished", "stages_completed": 0, "steps": 360, "truncated": true,
        "final_state_sha256": "0".repeat(64), "video": false,
    });
    replies.push((end, to_bytes(&[0.5; 7].repeat(360))));
    replies
}

fn frames(replies: &[(Value, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![];
    for (number, (header, body)) in (1..).zip(replies) {
        send(&mut bytes, number, header, body).unwrap();
    }
    bytes
}

#[test]
fn an_episode_as_it_should_be_is_accepted_to_its_end() {
    // The end is no further reply to count.
    assert_eq!(exercise::worker_bytes(&frames(&replies())), 36);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise::worker_bytes(&bytes);
    }

    #[test]
    fn damaged_frames_are_answered(
        length in 0..38_usize,
        changes in prop::collection::vec(cut(), 1..5),
    ) {
        let replies = replies();
        let mut bytes = frames(&replies[replies.len().saturating_sub(length)..]);
        changes.iter().for_each(|cut| apply(&mut bytes, cut));
        exercise::worker_bytes(&bytes);
    }

    #[test]
    fn forged_replies_are_answered(
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), odd()), 1..4),
        bodies in prop::collection::vec((any::<usize>(), cut()), 0..3),
    ) {
        let mut replies = replies();
        let length = replies.len();
        for (reply, number, value) in &changes {
            set(&mut replies[reply % length].0, *number, value);
        }
        bodies.iter().for_each(|(reply, cut)| apply(&mut replies[reply % length].1, cut));
        exercise::worker_bytes(&frames(&replies));
    }
}
