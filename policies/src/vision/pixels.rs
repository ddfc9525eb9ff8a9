//! From camera frames to the numbers that the vision tokenizer takes.

use rayon::prelude::*;

use super::resize::resize_bicubic;

/// A camera frame.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Red, green, blue of each pixel, row by row.
    pub rgb: &'a [u8], // [h, w, 3]
    /// Height and width.
    pub size: (usize, usize),
}

/// The frames of a batch, resized to `to` (height, width) and mapped to -1..=1, one behind the
/// other: `[b, 3, h, w]`. Frames are independent of each other and done in parallel.
///
/// # Panics
/// If a frame has not as many bytes as its size says, or a size is 0.
pub fn prepare(pictures: &[Picture<'_>], to: (usize, usize)) -> Vec<f32> {
    let one = |picture: &Picture<'_>| pixels(&resize_bicubic(picture.rgb, picture.size, to), to);
    let planes: Vec<Vec<f32>> = pictures.par_iter().map(one).collect();
    planes.concat()
}

/// The bytes `[h, w, 3]` of one frame as numbers in -1..=1, `[3, h, w]`.
///
/// Source: the image processor of the Emu3 release: each byte times 1/255 in f64, then minus
/// and divided by 0.5 in f32.
///
/// # Panics
/// If `rgb` has not as many bytes as `size` (height, width) says.
pub fn pixels(rgb: &[u8], (height, width): (usize, usize)) -> Vec<f32> {
    assert_eq!(rgb.len(), height * width * 3, "bytes of a {height} x {width} picture");
    let value = |byte: u8| ((f64::from(byte) * (1.0 / 255.0)) as f32 - 0.5) / 0.5;
    let plane = |channel| rgb.iter().skip(channel).step_by(3).map(move |&byte| value(byte));
    (0..3).flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

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
            .map(|i| golden::uniform(&format!("batch/{i}"), (30 + i) * 40 * 3))
            .map(|series| series.into_iter().map(|u| (u * 256.0) as u8).collect())
            .collect();
        let pictures: Vec<Picture<'_>> =
            bytes.iter().map(|rgb| Picture { rgb, size: (rgb.len() / 120, 40) }).collect();
        let [one, eight] = [1, 8].map(|threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| prepare(&pictures, (24, 16)))
        });
        assert_eq!(one.len(), 12 * 3 * 24 * 16);
        assert_eq!(one, eight);
        let single = pictures.iter().flat_map(|&picture| prepare(&[picture], (24, 16)));
        assert!(single.eq(one));
    }
}
