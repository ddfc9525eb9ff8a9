//! Tests of encoder and decoder, with weights from the formula.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

use serde::Deserialize;
use tch::Kind;

use super::*;
use crate::tokens::read_json;
use crate::{formula, recorded};

/// A recorded run of the released tokenizer.
#[derive(Deserialize)]
struct GoldenFile {
    tag: String,
    config: VisionConfig,
    image_shape: [i64; 4],
    embedding_scale: f64,
    embedding_offset: Vec<f64>,
    latent: Vec<f64>,
    codes: Vec<i64>,
    codes_shape: [i64; 3],
    decoded_from_codes: GoldenImage,
    parameters: BTreeMap<String, Vec<i64>>,
    buffers: BTreeMap<String, Vec<i64>>,
}

#[derive(Deserialize)]
struct GoldenImage {
    codes: Vec<i64>,
    shape: Vec<i64>,
    frame: Vec<f64>,
}

/// All recorded runs: those of the repository, or of the directory `UDVLA_GOLDEN`.
fn golden_files() -> Vec<GoldenFile> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(recorded::directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let is_vision = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json")
            && read_json::<serde_json::Value>(path).unwrap()["kind"] == "vq"
    };
    let files: Vec<_> = paths.iter().filter(|path| is_vision(path)).collect();
    assert!(!files.is_empty(), "no golden file of kind `vq`");
    files.into_iter().map(|path| read_json(path).unwrap()).collect()
}

/// Weights from the formula.
fn formula(
    book: (f64, Vec<f64>),
    kind: Kind,
) -> impl FnMut(&str, &[i64]) -> Result<Tensor, Infallible> {
    move |name, shape| {
        let weight = formula::vision_weight(name, shape, (book.0, &book.1));
        Ok(Tensor::from_slice(&weight).reshape(shape).to_kind(kind))
    }
}

fn tiny(kind: Kind) -> VisionTokenizer {
    let mut weights = formula((0.1, vec![0.0; 4]), kind);
    let Ok(tokenizer) = VisionTokenizer::load(&VisionConfig::tiny(), &mut weights);
    tokenizer
}

/// Numbers in -1..1 from the formula.
fn image(name: &str, shape: [i64; 4], kind: Kind) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let series: Vec<f64> = formula::uniform(name, count).iter().map(|u| 2.0 * u - 1.0).collect();
    Tensor::from_slice(&series).reshape(shape).to_kind(kind)
}

fn largest_difference(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.size(), right.size());
    (left - right).abs().max().double_value(&[])
}

#[test]
fn golden_images_have_the_released_latent_and_codes() {
    for file in golden_files() {
        let mut weights = formula((file.embedding_scale, file.embedding_offset), Kind::Double);
        let Ok(tokenizer) = VisionTokenizer::load(&file.config, &mut weights);
        let name = format!("vq-image/{}", file.tag);
        let pixels = image(&name, file.image_shape, Kind::Double);
        let latent = tokenizer.latent(&pixels);
        let wanted = Tensor::from_slice(&file.latent).reshape(latent.size());
        let difference = largest_difference(&latent, &wanted);
        println!("{name}: latent differs by {difference:e}");
        assert!(difference < 1e-8, "{name}: {difference}");
        let codes = tokenizer.encode(&pixels);
        assert_eq!(codes.size(), file.codes_shape, "{name}");
        assert_eq!(codes.kind(), Kind::Int64, "{name}");
        assert_eq!(Vec::<i64>::try_from(codes.view(-1)).unwrap(), file.codes, "{name}");
    }
}

#[test]
fn golden_codes_have_the_released_image() {
    for file in golden_files() {
        let mut weights = formula((file.embedding_scale, file.embedding_offset), Kind::Double);
        let Ok(decoder) = VisionDecoder::load(&file.config, &mut weights);
        let codes = Tensor::from_slice(&file.decoded_from_codes.codes).reshape(file.codes_shape);
        let decoded = decoder.decode(&codes).squeeze_dim(0);
        let wanted = Tensor::from_slice(&file.decoded_from_codes.frame);
        let wanted = wanted.reshape(&file.decoded_from_codes.shape[..]).reshape(decoded.size());
        let difference = largest_difference(&decoded, &wanted);
        println!("{}: image differs by {difference:e}", file.tag);
        assert!(difference < 1e-6, "{}: {difference}", file.tag);
    }
}

#[test]
fn parameters_are_those_of_the_released_checkpoint() {
    for file in golden_files() {
        let listed = VisionTokenizer::parameters(&file.config);
        let by_name: BTreeMap<_, _> = listed.iter().cloned().collect();
        assert_eq!(by_name.len(), listed.len(), "a name is listed twice");
        let wanted: BTreeMap<_, _> = file.parameters.into_iter().chain(file.buffers).collect();
        assert_eq!(by_name, wanted);
    }
}

#[test]
fn the_published_sizes_have_the_published_number_of_parameters() {
    let parameters = VisionTokenizer::parameters(&VisionConfig::emu3());
    let is_parameter = |name: &str| name.ends_with(".weight") || name.ends_with(".bias");
    let of = |start: &str| {
        let counted = parameters.iter().filter(|(n, _)| n.starts_with(start) && is_parameter(n));
        counted.map(|(_, shape)| shape.iter().product::<i64>()).sum::<i64>() as f64 / 1e6
    };
    for (start, millions) in [("", 270.74), ("encoder.", 109.49), ("decoder.", 161.12)] {
        assert!((of(start) - millions).abs() < 0.005, "`{start}`: {}", of(start));
    }
}

#[test]
fn a_repeated_image_has_the_latent_of_the_image() {
    let tokenizer = tiny(Kind::Double);
    let pixels = image("repeated", [1, 3, 24, 40], Kind::Double);
    let once = tokenizer.latent(&pixels);
    assert_eq!(once.size(), [1, 4, 1, 3, 5]);
    let of_clip = |frames: Tensor| tokenizer.along_time(&frames.transpose(0, 1).unsqueeze(0));

    let apart: Vec<Tensor> = (0..4).map(|_| tokenizer.images.forward(&pixels)).collect();
    assert_eq!(largest_difference(&of_clip(Tensor::cat(&apart, 0)), &once), 0.0);

    // As in the release: four frames at once, which libtorch may sum in another order.
    let together = tokenizer.images.forward(&pixels.repeat([4, 1, 1, 1])); // [t, z, h, w]
    assert!(largest_difference(&of_clip(together), &once) < 1e-14);
}

#[test]
fn codes_of_a_batch_are_those_of_each_image() {
    let tokenizer = tiny(Kind::Float);
    let pixels = image("batch", [3, 3, 40, 32], Kind::Float);
    let batch = tokenizer.encode(&pixels);
    assert_eq!(batch.size(), [3, 5, 4]);
    for row in 0..3 {
        let single = tokenizer.encode(&pixels.narrow(0, row, 1));
        assert_eq!(single, batch.narrow(0, row, 1), "row {row}");
    }
    assert!(i64::try_from(batch.max() - batch.min()).unwrap() > 0, "all codes are the same");
}

#[test]
fn single_precision_is_close_to_double() {
    let pixels = image("precision", [1, 3, 32, 32], Kind::Double);
    let double = tiny(Kind::Double).latent(&pixels);
    let single = tiny(Kind::Float).latent(&pixels.to_kind(Kind::Float));
    let difference = largest_difference(&double, &single.to_kind(Kind::Double));
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn an_error_of_the_weights_comes_back() {
    let mut missing = |name: &str, _: &[i64]| match name {
        "encoder.mid.attn_1.k.weight" => Err(name.to_owned()),
        _ => Ok(Tensor::zeros([1], (Kind::Float, tch::Device::Cpu))),
    };
    let error = VisionTokenizer::load(&VisionConfig::tiny(), &mut missing).err();
    assert_eq!(error.as_deref(), Some("encoder.mid.attn_1.k.weight"));
}

#[test]
#[should_panic(expected = "84 x 80 pixels are no grid of 8 x 8")]
fn a_image_that_is_no_grid_of_codes_is_refused() {
    let pixels = Tensor::zeros([1, 3, 84, 80], (Kind::Float, tch::Device::Cpu));
    let _ = tiny(Kind::Float).encode(&pixels);
}
