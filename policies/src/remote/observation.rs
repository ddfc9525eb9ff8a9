//! From a simulator's observation to the message that a server expects.

use std::f64::consts::{PI, TAU};

use udvla_sims::observation::{Camera, Image};

use super::greeting::Wishes;
use super::layout::{Flip, Float, ImageField, ShortestRotation, StateField};
use super::{Layout, ServerProtocol};
use crate::frames::{Array, Value};
use crate::policy::{PolicyError, PolicyInput};
use crate::vision::resize_bilinear;

/// What a message depends on beside the observation.
pub(super) struct Context<'a> {
    pub(super) layout: &'a Layout,
    pub(super) protocol: ServerProtocol,
    pub(super) wishes: &'a Wishes,
    /// Cameras in the order of the observation's images.
    pub(super) cameras: &'a [Camera],
}

impl Context<'_> {
    /// The message of one observation.
    ///
    /// # Errors
    /// [`PolicyError::Observation`] when the observation lacks an image or a number of the state.
    pub(super) fn message(&self, input: &PolicyInput) -> Result<Value, PolicyError> {
        let mut message = vec![];
        for field in self.layout.images.iter().filter(|field| self.is_wanted(&field.when)) {
            let position = self.cameras.iter().position(|camera| camera.name == field.camera);
            let image = position.and_then(|position| input.observation.images.get(position));
            let image = image.ok_or_else(|| lacks(input, &format!("camera `{}`", field.camera)))?;
            self.put(&mut message, &field.key, converted(image, field).into());
        }
        if let Some(field) = self.layout.state.as_ref().filter(|field| self.is_wanted(&field.when))
        {
            self.put(&mut message, &field.key, self.state(input, field)?.into());
        }
        let instruction = input.observation.instruction.as_ref();
        self.put(&mut message, &self.layout.instruction, instruction.into());
        Ok(Value::Map(message))
    }

    fn is_wanted(&self, wish: &Option<String>) -> bool {
        wish.as_ref().is_none_or(|wish| self.is_wished(wish))
    }

    fn is_wished(&self, wish: &str) -> bool {
        self.wishes.get(wish) == Some(&serde_json::Value::Bool(true))
    }

    /// openpi's keys contain slashes; vla-eval's name a place in nested maps.
    fn put(&self, message: &mut Vec<(String, Value)>, key: &str, value: Value) {
        let nested = key.split_once('/').filter(|_| self.protocol == ServerProtocol::VlaEval);
        let Some((outer, inner)) = nested else {
            message.push((key.into(), value));
            return;
        };
        let field = (inner.to_owned(), value);
        match message.iter_mut().find(|(name, _)| name == outer) {
            Some((_, Value::Map(fields))) => fields.push(field),
            _ => message.push((outer.into(), Value::Map(vec![field]))),
        }
    }

    fn state(&self, input: &PolicyInput, field: &StateField) -> Result<Array, PolicyError> {
        let state = &input.observation.state;
        let number = |index: &usize| {
            let number = state.get(*index).copied().map(f64::from);
            number.ok_or_else(|| lacks(input, &format!("number {index} of the state")))
        };
        let mut numbers = field.numbers.iter().map(number).collect::<Result<Vec<f64>, _>>()?;
        if let Some(ShortestRotation { first, unless }) = &field.shortest_rotation
            && !self.is_wished(unless)
        {
            shorten(&mut numbers[*first..*first + 3]);
        }
        let shape = [numbers.len()];
        let array = match field.r#type {
            Float::F64 => Array::f64(&shape, &numbers),
            Float::F32 => {
                Array::f32(&shape, &numbers.iter().map(|number| *number as f32).collect::<Vec<_>>())
            }
        };
        Ok(array.expect("as many numbers as the shape says"))
    }
}

fn lacks(input: &PolicyInput, needed: &str) -> PolicyError {
    let (images, state) = (input.observation.images.len(), input.observation.state.len());
    PolicyError::Observation {
        key: input.key.clone(),
        needed: needed.into(),
        given: format!("{images} in images, {state} in state"),
    }
}

/// Brings a rotation vector's angle to at most 180 degrees; it stays the same rotation.
fn shorten(rotation: &mut [f64]) {
    let angle = rotation.iter().map(|number| number * number).sum::<f64>().sqrt();
    if angle > PI {
        rotation.iter_mut().for_each(|number| *number *= (angle - TAU) / angle);
    }
}

/// The image as the layout wants it, `[h, w, 3]`.
fn converted(image: &Image, field: &ImageField) -> Array {
    let (height, width) = (image.height as usize, image.width as usize);
    let rgb = flipped(image, field.flip);
    let (size, rgb) = match field.size {
        Some((h, w)) if (h, w) != (image.height, image.width) => {
            let to = (h as usize, w as usize);
            (to, with_bars(&rgb, (height, width), to))
        }
        _ => ((height, width), rgb),
    };
    Array::u8(&[size.0, size.1, 3], rgb).expect("an image is as large as it says")
}

fn flipped(image: &Image, flip: Flip) -> Vec<u8> {
    let row = image.width as usize * 3;
    match flip {
        Flip::None => image.rgb.clone(),
        Flip::Vertical => reversed(&image.rgb, row),
        Flip::Horizontal => reversed(&reversed(&image.rgb, 3), row),
        Flip::Both => reversed(&image.rgb, 3),
    }
}

/// The bytes in units of `unit`, the last unit first.
fn reversed(bytes: &[u8], unit: usize) -> Vec<u8> {
    let mut reversed = vec![0; bytes.len()];
    let units = bytes.chunks_exact(unit).rev();
    reversed.chunks_exact_mut(unit).zip(units).for_each(|(to, from)| to.copy_from_slice(from));
    reversed
}

/// Resizes without distortion and centers the image between black bars.
///
/// Source: openpi-client 0.1.2, `image_tools.resize_with_pad`.
fn with_bars(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let ratio = (from.1 as f64 / to.1 as f64).max(from.0 as f64 / to.0 as f64);
    let inner = ((from.0 as f64 / ratio) as usize, (from.1 as f64 / ratio) as usize);
    // A very long image would vanish.
    let inner = (inner.0.max(1), inner.1.max(1));
    let resized = resize_bilinear(rgb, from, inner);
    if inner == to {
        return resized;
    }
    let (top, left) = ((to.0 - inner.0) / 2, (to.1 - inner.1) / 2);
    let mut canvas = vec![0; to.0 * to.1 * 3];
    for (row, pixels) in resized.chunks_exact(inner.1 * 3).enumerate() {
        let start = ((top + row) * to.1 + left) * 3;
        canvas[start..start + pixels.len()].copy_from_slice(pixels);
    }
    canvas
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::formula;
    use crate::remote::layout::sha256;

    /// What openpi's client makes of an image from a formula (`vectors/bars.py`).
    #[derive(Debug, Deserialize)]
    struct Case {
        from: (usize, usize),
        to: (usize, usize),
        sha256: String,
    }

    #[test]
    fn every_byte_is_that_of_openpis_client() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/vectors/bars.json")).unwrap();
        for case in cases {
            let (height, width) = case.from;
            let name = format!("resize/noise/{height}x{width}");
            let noise = formula::uniform(&name, height * width * 3);
            let rgb: Vec<u8> = noise.into_iter().map(|u| (u * 256.0) as u8).collect();
            let digest = sha256(&with_bars(&rgb, case.from, case.to));
            assert_eq!(digest, format!("sha256:{}", case.sha256), "{case:?}");
        }
    }

    #[test]
    fn flips_move_pixels() {
        let rgb = (0..12).collect();
        let image = Image { height: 2, width: 2, rgb };
        let first = |flip| flipped(&image, flip)[..3].to_vec();
        let corners = [Flip::None, Flip::Vertical, Flip::Horizontal, Flip::Both].map(first);
        assert_eq!(corners, [[0, 1, 2], [6, 7, 8], [3, 4, 5], [9, 10, 11]]);
    }

    #[test]
    fn a_wide_image_gets_bars_above_and_below() {
        let white = vec![255; 480 * 640 * 3];
        let framed = with_bars(&white, (480, 640), (224, 224));
        let row = |y: usize| framed[y * 224 * 3];
        assert_eq!((row(27), row(28), row(195), row(196)), (0, 255, 255, 0));
    }

    #[test]
    fn a_rotation_beyond_a_half_turn_is_taken_the_other_way_round() {
        let mut rotation = [0.0, 0.0, 1.5 * PI];
        shorten(&mut rotation);
        assert!((rotation[2] + 0.5 * PI).abs() < 1e-12, "{rotation:?}");
        let mut short = [3.0, 0.0, 0.0];
        shorten(&mut short);
        assert_eq!(short, [3.0, 0.0, 0.0]);
    }
}
