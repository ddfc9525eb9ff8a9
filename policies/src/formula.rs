//! Numbers, weights and noise as a function of their name.
//!
//! Golden files need not store what both sides of a comparison generate: the seed of a series is
//! the CRC-32 of its name, the series is SplitMix64. Used by synthetic checkpoints, golden files
//! and tests.

/// `count` numbers in (0, 1), a function of `name`.
///
/// Entry `i` is the `i`-th output of SplitMix64 seeded *per entry* with `crc32(name) << 32 + i`,
/// so that any entry can be computed on its own.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let seed = u64::from(crc32(name.as_bytes())) << 32;
    (0..count as u64).map(|i| unit(split_mix(seed.wrapping_add(i)))).collect()
}

/// A parameter of the language model by its safetensors name, row-major, f64.
///
/// Norms (one dimension) lie in 0.9..1.1, embeddings in -1..1, matrices `[out, in]` in
/// ±sqrt(3 / in), which keeps activations at unit variance.
///
/// # Panics
/// If `shape` has no or a negative dimension.
pub fn language_weight(name: &str, shape: &[i64]) -> Vec<f64> {
    let series = symmetric(name, count(shape));
    let scale = match shape {
        [] => panic!("`{name}` has no dimension"),
        [_] => return series.map(|u| 1.0 + 0.1 * u).collect(),
        _ if name.contains("embed") => 1.0,
        [_, inputs @ ..] => (3.0 / count(inputs) as f64).sqrt(),
    };
    series.map(|u| u * scale).collect()
}

/// A parameter or buffer of the vision tokenizer by its safetensors name, row-major, f64.
///
/// `codebook` is the scale and the per-channel offset of `quantize.embedding.weight`; golden files
/// choose them to use many codes.
///
/// # Panics
/// If the codebook's width is not `codebook.1.len()`.
pub fn vision_weight(name: &str, shape: &[i64], codebook: (f64, &[f64])) -> Vec<f64> {
    let series = symmetric(&format!("vq/{name}"), count(shape));
    if name == "quantize.embedding.weight" {
        let (scale, offset) = codebook;
        assert_eq!(shape.last(), Some(&(offset.len() as i64)), "width of the codebook");
        return series.enumerate().map(|(i, u)| u * scale + offset[i % offset.len()]).collect();
    }
    match (name.rsplit('.').next(), shape) {
        (Some("num_batches_tracked"), _) => vec![0.0; count(shape)],
        (Some("running_mean"), _) => series.map(|u| 0.1 * u).collect(),
        (Some("running_var"), _) => series.map(|u| 0.5 + (u + 1.0) / 2.0).collect(),
        (Some("weight"), [_]) => series.map(|u| 1.0 + 0.1 * u).collect(),
        (_, [_]) => series.map(|u| 0.05 * u).collect(),
        (_, [_, inputs @ ..]) => {
            let scale = (3.0 / count(inputs) as f64).sqrt();
            series.map(|u| u * scale).collect()
        }
        (_, []) => panic!("`{name}` has no dimension"),
    }
}

/// `2 * uniform - 1`.
fn symmetric(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    uniform(name, count).into_iter().map(|u| 2.0 * u - 1.0)
}

/// Number of elements of a shape; 1 for a scalar.
fn count(shape: &[i64]) -> usize {
    shape.iter().map(|&n| usize::try_from(n).expect("dimensions are not negative")).product()
}

/// One output of SplitMix64 (Steele, Lea and Flood 2014) for the state `state`.
pub(crate) fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The upper 53 bits as the center of one of 2^53 equal cells of (0, 1).
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) * (0.5_f64).powi(53)
}

/// CRC-32 as in zlib (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xEDB8_8320 & (c & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_series_is_the_formula_entry_by_entry() {
        // Worked out with an independent implementation.
        let wanted = [0.7485552083289344, 0.2525473764104919, 0.7608331171156351];
        assert_eq!(uniform("sample/0", 3), wanted);
    }

    #[test]
    fn weights_lie_in_their_ranges() {
        assert!(language_weight("model.norm.weight", &[64]).iter().all(|w| (w - 1.0).abs() < 0.1));
        let matrix = language_weight("model.layers.0.mlp.up_proj.weight", &[8, 48]);
        assert!(matrix.iter().all(|w| w.abs() < 0.25) && matrix.iter().any(|w| w.abs() > 0.24));
        let book = vision_weight("quantize.embedding.weight", &[64, 2], (0.5, &[10.0, 20.0]));
        assert!(book.chunks(2).all(|e| (e[0] - 10.0).abs() < 0.5 && (e[1] - 20.0).abs() < 0.5));
        let variance = vision_weight("norm1.running_var", &[64], (1.0, &[0.0]));
        assert!(variance.iter().all(|v| (0.5..1.5).contains(v)));
    }
}
