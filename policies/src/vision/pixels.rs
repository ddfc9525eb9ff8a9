//! Camera images to the inputs of the vision tokenizer.

use rayon::prelude::*;

use super::resize::resize_bicubic;

/// A camera image.
#[derive(Debug, Clone, Copy)]
pub struct RgbImage<'a> {
    /// Red, green, blue of each pixel, row-major.
    pub rgb: &'a [u8], // [h, w, 3]
    /// Height and width.
    pub size: (usize, usize),
}

/// Resizes images to `to` (height, width) and maps them to -1..=1: `[b, 3, h, w]`. Images are
/// processed in parallel.
///
/// # Panics
/// If an image's number of bytes does not match its size, or a size is 0.
pub fn prepare(images: &[RgbImage<'_>], to: (usize, usize)) -> Vec<f32> {
    let planes = |image: &RgbImage<'_>| pixels(&resize_bicubic(image.rgb, image.size, to), to);
    let all: Vec<Vec<f32>> = images.par_iter().map(planes).collect();
    all.concat()
}

/// The bytes `[h, w, 3]` of an image as numbers in -1..=1, `[3, h, w]`.
///
/// Source: the image processor of the Emu3 release: each byte times 1/255 in f64, then minus
/// and divided by 0.5 in f32.
///
/// # Panics
/// If the number of bytes does not match the size (height, width).
pub fn pixels(rgb: &[u8], (height, width): (usize, usize)) -> Vec<f32> {
    assert_eq!(rgb.len(), height * width * 3, "bytes of a {height} x {width} image");
    let value = |byte: u8| ((f64::from(byte) * (1.0 / 255.0)) as f32 - 0.5) / 0.5;
    let plane = |channel| rgb.iter().skip(channel).step_by(3).map(move |&byte| value(byte));
    (0..3).flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula;

    #[test]
    fn black_is_minus_one_and_white_is_one() {
        assert_eq!(pixels(&[0, 255, 51], (1, 1)), [-1.0, 1.0, -0.6]);
    }

    #[test]
    fn channels_become_planes() {
        let planes = pixels(&[0, 51, 102, 153, 204, 255], (1, 2));
        let nearest: Vec<_> = planes.iter().map(|v| (v * 10.0).round() as i32).collect();
        assert_eq!(nearest, [-10, 2, -6, 6, -2, 10]);
    }

    #[test]
    fn a_batch_is_the_same_with_one_and_with_eight_threads() {
        let bytes: Vec<Vec<u8>> = (0..12)
            .map(|i| formula::uniform(&format!("batch/{i}"), (30 + i) * 40 * 3))
            .map(|series| series.into_iter().map(|u| (u * 256.0) as u8).collect())
            .collect();
        let images: Vec<RgbImage<'_>> =
            bytes.iter().map(|rgb| RgbImage { rgb, size: (rgb.len() / 120, 40) }).collect();
        let [one, eight] = [1, 8].map(|threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| prepare(&images, (24, 16)))
        });
        assert_eq!(one.len(), 12 * 3 * 24 * 16);
        assert_eq!(one, eight);
        let single = images.iter().flat_map(|&image| prepare(&[image], (24, 16)));
        assert!(single.eq(one));
    }
}
