//! Tests of the action tokenizer: synthetic files, and golden vectors if available.

use std::path::PathBuf;

use super::*;
use crate::tokens::synthetic_json;
use crate::{formula, recorded};

/// A tokenizer from the text of its two files.
fn from_text(tokenizer: &str, config: &str) -> Result<FastTokenizer, TokenError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [first, second] = ["tokenizer.json", "config.json"].map(|n| directory.path().join(n));
    std::fs::write(&first, tokenizer).expect("it can be written");
    std::fs::write(&second, config).expect("it can be written");
    FastTokenizer::open(&first, &second)
}

fn synthetic() -> FastTokenizer {
    let (tokenizer, config) = synthetic_json();
    from_text(&tokenizer, &config).expect("the synthetic files are valid")
}

/// The released tokenizer `name`, or `None` without the test data.
fn released(name: &str) -> Option<FastTokenizer> {
    let Some(data) = std::env::var_os("UDVLA_TEST_DATA") else {
        println!(
            "skipped: udvla: released tokenizers and statistics are not here (UDVLA_TEST_DATA)"
        );
        return None;
    };
    let directory = PathBuf::from(data).join("udvla").join(name);
    let config = directory.join("processor_config.json");
    Some(FastTokenizer::open(&directory.join("tokenizer.json"), &config).expect("a valid file"))
}

fn largest_difference(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_transform_and_its_inverse_are_orthonormal() {
    for steps in [1, 2, 5, 10, 16] {
        let series = formula::uniform("series", steps);
        let mut transformed = series.clone();
        cosine(&mut transformed);
        let energy = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        assert!((energy(&series) - energy(&transformed)).abs() < 1e-12, "{steps} steps");
        inverse_cosine(&mut transformed);
        assert!(largest_difference(&series, &transformed) < 1e-12, "{steps} steps");
    }
}

#[test]
fn every_synthetic_id_decodes_to_something_finite() {
    let tokenizer = synthetic();
    assert_eq!(tokenizer.vocabulary(), 1024);
    for id in 0..1024 {
        assert_eq!(tokenizer.invalid(&[id]), 0, "{id}");
        let chunk = tokenizer.decode(&[id; 70], 10, 7);
        assert!(chunk.iter().all(|v| v.abs() < 20.0), "{id}: {chunk:?}");
    }
    let different: std::collections::HashSet<_> =
        (0..1024).map(|id| tokenizer.text(&[id])).collect();
    assert_eq!(different.len(), 1024);
}

#[test]
fn synthetic_chunks_survive_the_way_there_and_back() {
    let tokenizer = synthetic();
    for seed in 0..50 {
        let actions: Vec<f64> =
            formula::uniform(&format!("chunk/{seed}"), 70).iter().map(|u| 2.0 * u - 1.0).collect();
        let ids = tokenizer.encode(&actions, 10, 7);
        let decoded = tokenizer.decode(&ids, 10, 7);
        // Ten coefficients, each off by at most 0.025.
        assert!(largest_difference(&actions, &decoded) < 0.025 * 10_f64.sqrt() * 1.5, "{seed}");
    }
}

#[test]
fn cut_and_padded_sequences_decode() {
    let tokenizer = synthetic();
    let zero = vec![0.0; 70];
    assert_eq!(tokenizer.decode(&[], 10, 7), zero);
    assert_eq!(tokenizer.decode(&[1024, i64::MAX], 10, 7), zero);
    assert_eq!(tokenizer.decode(&[3, -1], 10, 7), zero);
    assert_eq!(tokenizer.decode(&[5; 70], 10, 7), tokenizer.decode(&[5; 300], 10, 7));
    assert_eq!(tokenizer.decode(&[1], 0, 7), [0.0_f64; 0]);
    assert_eq!(tokenizer.decode(&[1], 3, 0), [0.0_f64; 0]);
}

#[test]
fn broken_files_are_errors() {
    let (tokenizer, config) = synthetic_json();
    let cases = [
        ("", "", "not the expected JSON"),
        ("\"type\": \"BPE\"", "\"type\": \"Unigram\"", "not BPE"),
        ("\"added_tokens\": []", "\"added_tokens\": [1]", "added tokens"),
        ("\"add_prefix_space\": false", "\"add_prefix_space\": true", "prefix space"),
        ("\"type\": \"ByteLevel\"", "\"type\": \"Metaspace\"", "byte-level"),
        ("\"A\": 65", "\"A\": 66", "two tokens with the id 66"),
        ("\"A\": 65", "\"A\": -1", "not the expected JSON"),
        ("\"@ @\"", "\"@ é\"", "merges `é`"),
        ("\"@ @\"", "\"@@\"", "is no pair"),
        ("\"@ @\"", "[\"@\"]", "is no pair"),
    ];
    for (from, to, wanted) in cases {
        let broken = if from.is_empty() { String::new() } else { tokenizer.replace(from, to) };
        let error = from_text(&broken, &config).unwrap_err().to_string();
        assert!(error.contains(wanted), "`{error}` lacks `{wanted}`");
    }
    assert!(from_text(&tokenizer.replace("\"@ @\"", "[\"@\", \"@\"]"), &config).is_ok());
    for config in ["{}", r#"{"scale": 0, "min_token": 0}"#, r#"{"scale": 1}"#] {
        assert!(from_text(&tokenizer, config).is_err(), "{config}");
    }
    // A sum with a character's number would overflow.
    for min_token in [i64::MIN, i64::MAX, -1_114_112] {
        let config = format!(r#"{{"scale": 1, "min_token": {min_token}}}"#);
        let error = from_text(&tokenizer, &config).unwrap_err().to_string();
        assert!(error.contains(&min_token.to_string()), "{error}");
    }
}

#[test]
fn a_configuration_of_another_vocabulary_is_refused_with_both_names() {
    let (tokenizer, config) = synthetic_json();
    // Characters beyond those of the vocabulary, and none at all.
    for min_token in ["-158", "-300", "1"] {
        let other = config.replace("-64", min_token);
        let error = from_text(&tokenizer, &other).unwrap_err().to_string();
        for part in ["tokenizer.json", "config.json", min_token] {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    }
    let made_for = config.replace("{", "{ \"time_horizon\": 5, \"action_dim\": null,");
    assert_eq!(from_text(&tokenizer, &made_for).unwrap().chunk(), (Some(5), None));
}

#[test]
fn published_chunks_have_the_published_ids() {
    let zeros = [
        ("fast_calvin_abcd_a10_s50", 10, [vec![439; 16], vec![902]].concat()),
        ("fast_libero_all_t10_s50", 10, vec![493, 493, 393]),
        ("fast_calvin_abcd_a5_s50", 5, [vec![325; 8], vec![457]].concat()),
    ];
    for (name, horizon, ids) in zeros {
        let Some(tokenizer) = released(name) else { return };
        assert_eq!(tokenizer.vocabulary(), 1024, "{name}");
        assert_eq!(tokenizer.encode(&vec![0.0; horizon * 7], horizon, 7), ids, "{name}");
    }
}

/// `0.8 sin(0.3 t + d)` to six digits in six columns, a gripper that closes half-way.
fn ramp() -> Vec<f64> {
    let action = |t: usize, d: usize| match d {
        6 => 1.0 - 2.0 * f64::from(t >= 5),
        _ => 0.8 * ((0.3 * t as f64 + d as f64).sin() * 1e6).round() / 1e6,
    };
    (0..70).map(|i| action(i / 7, i % 7)).collect()
}

#[test]
fn a_smooth_chunk_has_the_published_ids_and_values() {
    let Some(tokenizer) = released("fast_calvin_abcd_a10_s50") else { return };
    let ids = tokenizer.encode(&ramp(), 10, 7);
    let wanted = [
        837, 628, 385, 79, 90, 340, 325, 301, 637, 886, 448, 106, 71, 645, 124, 411, 342, 394, 438,
        592, 414, 327, 109, 831, 504, 337, 439, 439, 394, 329, 395, 328, 328, 439, 439, 411, 356,
        574, 439, 439, 399,
    ];
    assert_eq!(ids, wanted);
    let decoded = tokenizer.decode(&ids, 10, 7);
    let row = [-0.002388, 0.664204, 0.723394, 0.103122, -0.609774, -0.755606, 1.005835];
    assert!(largest_difference(&decoded[..7], &row) < 1e-6, "{:?}", &decoded[..7]);

    let libero = released("fast_libero_all_t10_s50").expect("the data is at hand");
    let wanted = [
        818, 681, 396, 79, 90, 350, 914, 685, 825, 471, 106, 71, 643, 124, 415, 354, 416, 463, 521,
        369, 327, 109, 352, 342, 627, 344, 334, 416, 426, 326, 330, 330, 334, 415, 666, 573, 432,
    ];
    assert_eq!(libero.encode(&ramp(), 10, 7), wanted);
}

#[test]
fn a_half_character_is_a_gigantic_coefficient() {
    let Some(tokenizer) = released("fast_calvin_abcd_a10_s50") else { return };
    assert_eq!(tokenizer.invalid(&[200]), 1);
    assert_eq!(tokenizer.text(&[0]), "\0");
    let chunk = tokenizer.decode(&[200], 10, 7);
    let mean: f64 = chunk.iter().step_by(7).sum::<f64>() / 10.0;
    assert!((mean - 65375.0 / 50.0 / 10_f64.sqrt()).abs() < 1e-9, "{mean}");
}

#[derive(Deserialize)]
struct GoldenFile {
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenCase {
    tokenizer: String,
    actions: Option<Vec<Vec<f64>>>,
    ids: Vec<i64>,
    decoded: Vec<Vec<f64>>,
}

fn golden_cases() -> Vec<GoldenCase> {
    let file: GoldenFile = read_json(&recorded::directory().join("fast.json")).expect("valid");
    assert!(!file.cases.is_empty());
    file.cases
}

/// Needs no tokenizer: byte pairs are lossless, so a decoded chunk is the inverse transform of the
/// rounded coefficients, of which there are 50 per unit in every released tokenizer.
#[test]
fn golden_chunks_are_transformed_and_rounded_as_released() {
    let width = 7;
    let mut checked = 0;
    for (index, case) in golden_cases().iter().enumerate() {
        let Some(actions) = &case.actions else { continue };
        let mut coefficients = actions.concat();
        transform(&mut coefficients, width, cosine);
        coefficients.iter_mut().for_each(|c| *c = (*c * 50.0).round_ties_even() / 50.0);
        transform(&mut coefficients, width, inverse_cosine);
        let difference = largest_difference(&coefficients, &case.decoded.concat());
        assert!(difference < 1e-9, "case {index} differs by {difference}");
        checked += 1;
    }
    assert!(checked > 0, "no case has actions");
}

#[test]
fn golden_chunks_encode_and_decode_as_released() {
    for (index, case) in golden_cases().iter().enumerate() {
        let Some(tokenizer) = released(&case.tokenizer) else { return };
        let (horizon, width) = (case.decoded.len(), 7);
        if let Some(actions) = &case.actions {
            assert_eq!(
                tokenizer.encode(&actions.concat(), horizon, width),
                case.ids,
                "case {index}"
            );
        }
        let decoded = tokenizer.decode(&case.ids, horizon, width);
        let difference = largest_difference(&decoded, &case.decoded.concat());
        assert!(difference < 1e-9, "case {index} differs by {difference}");
    }
}
