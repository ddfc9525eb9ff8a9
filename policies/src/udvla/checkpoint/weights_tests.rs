//! Tests of valid and broken weight files.

use std::fs;

use safetensors::tensor::{TensorView, serialize};

use tch::Device;

use super::*;

const CPU: Placement = Placement { device: Device::Cpu, kind: Kind::Float };

fn file(tensors: &[(&str, Vec<usize>, &[f32])]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), data)| {
        (*name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
    });
    serialize(views, None).unwrap()
}

fn two_shards() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("1.safetensors"), file(&[("a", vec![2], &[1.0, 2.0])])).unwrap();
    let second = file(&[("b", vec![1, 2], &[3.0, 4.0])]);
    fs::write(dir.path().join("2.safetensors"), second).unwrap();
    let index = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
    fs::write(dir.path().join(INDEX), index).unwrap();
    dir
}

#[test]
fn tensors_come_from_the_shard_that_holds_them() {
    let dir = two_shards();
    let weights = Weights::open(dir.path()).unwrap();
    let double = Placement { kind: Kind::Double, ..CPU };
    let b = weights.tensor("b", &[1, 2], double).unwrap();
    assert_eq!(b.kind(), Kind::Double);
    assert_eq!(Vec::<f64>::try_from(b.view(-1)).unwrap(), [3.0, 4.0]);
    assert_eq!(weights.names().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn every_half_format_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let views = [("half", Dtype::F16, [0x00, 0x3C]), ("brain", Dtype::BF16, [0x80, 0x3F])];
    let data = views
        .iter()
        .map(|(name, dtype, bytes)| (*name, TensorView::new(*dtype, vec![1], bytes).unwrap()));
    fs::write(dir.path().join(SINGLE), serialize(data, None).unwrap()).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    for (name, _, _) in views {
        assert_eq!(weights.tensor(name, &[1], CPU).unwrap().double_value(&[0]), 1.0, "{name}");
    }
}

#[test]
fn a_cut_shard_is_named() {
    let dir = two_shards();
    let shard = dir.path().join("2.safetensors");
    let bytes = fs::read(&shard).unwrap();
    for length in [0, 4, 20, bytes.len() - 1] {
        fs::write(&shard, &bytes[..length]).unwrap();
        let error = Weights::open(dir.path()).unwrap_err();
        assert!(matches!(error, CheckpointError::Truncated { .. }), "{length}: {error:?}");
        assert!(error.to_string().contains("2.safetensors"), "{error}");
    }
}

#[test]
fn missing_pieces_are_named() {
    let dir = two_shards();
    let weights = Weights::open(dir.path()).unwrap();
    let error = weights.tensor("c", &[1], CPU).unwrap_err();
    assert!(error.to_string().contains("`c` is missing"), "{error}");
    let error = weights.tensor("a", &[3], CPU).unwrap_err();
    assert!(error.to_string().contains("1.safetensors` has shape [2], expected [3]"), "{error}");

    fs::remove_file(dir.path().join("1.safetensors")).unwrap();
    let error = Weights::open(dir.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::MissingFile { .. }), "{error:?}");

    fs::remove_file(dir.path().join(INDEX)).unwrap();
    let error = Weights::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn an_index_that_promises_what_the_shard_lacks_is_refused() {
    let dir = two_shards();
    let index = r#"{"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}}"#;
    fs::write(dir.path().join(INDEX), index).unwrap();
    let error = Weights::open(dir.path()).unwrap_err();
    assert!(matches!(&error, CheckpointError::MissingTensor { tensor, .. } if tensor == "c"));
    fs::write(dir.path().join(INDEX), "{").unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(CheckpointError::Json { .. })));
}

#[test]
fn numbers_that_are_not_floats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let view = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
    fs::write(dir.path().join(SINGLE), serialize([("a", view)], None).unwrap()).unwrap();
    let error = Weights::open(dir.path()).unwrap().tensor("a", &[1], CPU).unwrap_err();
    assert!(error.to_string().contains("I64"), "{error}");
}
