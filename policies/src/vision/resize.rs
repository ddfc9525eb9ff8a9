//! Bicubic and bilinear resizing of RGB bytes, bit-identical to Pillow's.
//!
//! The released evaluation resizes with Pillow, and one gray level can change a code. The
//! `fast_image_resize` crate runs its two passes in the other order and differs by up to 30
//! gray levels (480x640 noise to 200x200: 3).
//!
//! Source: the behaviour of `Image.resize(size, BICUBIC)` in Pillow up to 12, checked with
//! vectors made by `tests/vectors/resize.py`. Pillow 13 swaps the passes where the height
//! shrinks much more than the width, which no benchmark's cameras do.

/// Fractional bits of a weight. With 22, a sum of bytes times weights fits 32 bits.
const PLACES: u32 = 22;
/// Half a gray level, so that truncation rounds.
const HALF: i32 = 1 << (PLACES - 1);

/// Resizes `[h, w, 3]` bytes from one (height, width) to another.
///
/// Rows first, then columns, with bytes in between. Enlarging interpolates with the
/// cubic kernel (a = -0.5); reducing widens the kernel by the ratio, so every pixel counts.
/// The same size gives the same bytes.
///
/// # Panics
/// If the number of bytes does not match `from`, or a height or width is 0.
pub fn resize_bicubic(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    resize(rgb, from, to, &BICUBIC)
}

/// As [`resize_bicubic`], with linear interpolation.
///
/// # Panics
/// If the number of bytes does not match `from`, or a height or width is 0.
pub fn resize_bilinear(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    resize(rgb, from, to, &BILINEAR)
}

/// A kernel by distance in pixels, and where it ends when enlarging.
struct Kernel {
    reach: f64,
    weight: fn(f64) -> f64,
}

const BICUBIC: Kernel = Kernel { reach: 2.0, weight: cubic };
const BILINEAR: Kernel = Kernel { reach: 1.0, weight: |distance| (1.0 - distance.abs()).max(0.0) };

fn resize(rgb: &[u8], from: (usize, usize), to: (usize, usize), kernel: &Kernel) -> Vec<u8> {
    assert_eq!(rgb.len(), from.0 * from.1 * 3, "bytes of a {} x {} image", from.0, from.1);
    assert!(from.0.min(from.1).min(to.0).min(to.1) > 0, "no side of an image is 0");
    let mut rgb = rgb.to_vec();
    if to.1 != from.1 {
        rgb = resize_rows(&rgb, from.1, &all_taps(from.1, to.1, kernel));
    }
    if to.0 != from.0 {
        rgb = resize_columns(&rgb, to.1 * 3, &all_taps(from.0, to.0, kernel));
    }
    rgb
}

/// Source pixels of one target pixel.
struct Taps {
    /// Index of the first source pixel.
    first: usize,
    /// Weights from the first source pixel on, in units of 2^-22.
    weights: Vec<i32>,
}

/// The taps of each of `to` pixels along a line of `from` pixels.
fn all_taps(from: usize, to: usize, kernel: &Kernel) -> Vec<Taps> {
    let step = from as f64 / to as f64;
    let widening = step.max(1.0);
    (0..to).map(|index| taps((index as f64 + 0.5) * step, widening, from, kernel)).collect()
}

/// The taps of a pixel with its center at `center` of a line of `length` pixels.
fn taps(center: f64, widening: f64, length: usize, kernel: &Kernel) -> Taps {
    let reach = kernel.reach * widening;
    // The casts truncate at 0, as in the original.
    let first = (center - reach + 0.5) as usize;
    let end = ((center + reach + 0.5) as usize).min(length);
    let exact: Vec<f64> = (first..end)
        .map(|index| (kernel.weight)((index as f64 - center + 0.5) * (1.0 / widening)))
        .collect();
    let sum: f64 = exact.iter().sum();
    let weights = exact.iter().map(|weight| fixed_point(weight / sum)).collect();
    Taps { first, weights }
}

/// The cubic convolution kernel with a = -0.5 at a distance in pixels.
///
/// Source: Keys 1981.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A weight in units of 2^-22, halves rounded away from 0.
fn fixed_point(weight: f64) -> i32 {
    (weight * f64::from(1 << PLACES) + 0.5_f64.copysign(weight)) as i32
}

/// A sum of weighted bytes, to which [`HALF`] was added, as a byte.
fn byte(sum: i32) -> u8 {
    (sum >> PLACES).clamp(0, 255) as u8
}

/// Makes rows of `taps.len()` pixels from rows of `width` pixels.
fn resize_rows(rgb: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut resized = vec![0; rgb.len() / width * taps.len()];
    let rows = rgb.chunks_exact(width * 3).zip(resized.chunks_exact_mut(taps.len() * 3));
    for (row, target) in rows {
        for (taps, pixel) in taps.iter().zip(target.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (source, weight) in row[taps.first * 3..].chunks_exact(3).zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(byte));
        }
    }
    resized
}

/// Makes `taps.len()` rows from rows of `length` bytes.
fn resize_columns(rgb: &[u8], length: usize, taps: &[Taps]) -> Vec<u8> {
    let mut resized = vec![0; length * taps.len()];
    let mut sums = vec![HALF; length];
    for (taps, target) in taps.iter().zip(resized.chunks_exact_mut(length)) {
        sums.fill(HALF);
        let sources = rgb[taps.first * length..].chunks_exact(length);
        for (source, weight) in sources.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += i32::from(value) * weight;
            }
        }
        target.iter_mut().zip(&sums).for_each(|(value, &sum)| *value = byte(sum));
    }
    resized
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::formula;

    /// Pillow's result for an image from a formula.
    #[derive(Debug, Deserialize)]
    struct Case {
        kind: String,
        from: (usize, usize),
        to: (usize, usize),
        sha256: String,
        first: Vec<u8>,
    }

    fn image(kind: &str, (height, width): (usize, usize)) -> Vec<u8> {
        let value = |u: f64| match kind {
            "extremes" => 255 * u8::from(u < 0.5),
            _ => (u * 256.0) as u8,
        };
        let name = format!("resize/{kind}/{height}x{width}");
        formula::uniform(&name, height * width * 3).into_iter().map(value).collect()
    }

    #[test]
    fn every_byte_is_that_of_pillow() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/vectors/resize.json")).expect("valid");
        for case in cases {
            let resized = resize_bicubic(&image(&case.kind, case.from), case.from, case.to);
            assert_eq!(resized[..18.min(resized.len())], case.first, "{case:?}");
            let digest = Sha256::digest(&resized);
            let hexadecimal = digest.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("text grows");
                text
            });
            assert_eq!(hexadecimal, case.sha256, "{case:?}");
        }
    }

    #[test]
    fn a_uniform_image_stays_uniform() {
        for gray in [0, 1, 127, 254, 255] {
            let resized = resize_bicubic(&[gray; 84 * 63 * 3], (84, 63), (80, 200));
            assert_eq!(resized.len(), 80 * 200 * 3);
            assert!(resized.iter().all(|&byte| byte == gray), "{gray}");
        }
    }
}
