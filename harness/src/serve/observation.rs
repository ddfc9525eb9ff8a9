//! Images and instruction of a message.

use std::sync::Arc;

use udvla_policies::frames::Value;
use udvla_sims::observation::{Camera, Image, Observation};

use crate::images;

/// Rows and columns of an image, at most.
const MAX_SIDE: usize = 4096;

/// An observation of images in the order and the sizes of `cameras`, each with its key for
/// errors.
///
/// # Errors
/// What is missing or of another kind, with what was expected.
pub fn observation(
    cameras: &[Camera],
    images: &[(&str, Option<&Value>)],
    instruction: (&str, Option<&Value>),
    longest_instruction: Option<usize>,
) -> Result<Observation, String> {
    let pairs = cameras.iter().zip(images);
    let images = pairs.map(|(camera, (key, value))| image(camera, key, *value));
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let (key, value) = instruction;
    let instruction = match value {
        Some(Value::Text(text)) => text,
        other => return Err(mismatch(key, "text", other)),
    };
    // A token has at least a byte; the tokenizer's normalization may triple bytes beyond ASCII.
    let bytes = instruction.len() * if instruction.is_ascii() { 1 } else { 3 };
    if let Some(longest) = longest_instruction.filter(|longest| bytes > *longest) {
        let length = instruction.len();
        return Err(format!("`{key}` has {length} bytes; {longest} tokens fit the model"));
    }
    Ok(Observation {
        images,
        state: vec![],
        instruction: Arc::from(instruction.as_str()),
        stage: 0,
    })
}

/// An image in the size of its camera.
fn image(camera: &Camera, key: &str, value: Option<&Value>) -> Result<Image, String> {
    let expected = format!("an image |u1 of shape [h, w, 3] for camera `{}`", camera.name);
    let array = value.and_then(Value::as_array).ok_or_else(|| mismatch(key, &expected, value))?;
    let sides = 1..=MAX_SIDE;
    let [height, width, 3] = *array.shape() else { return Err(mismatch(key, &expected, value)) };
    if array.dtype() != "|u1" || !sides.contains(&height) || !sides.contains(&width) {
        return Err(mismatch(key, &expected, value));
    }
    let image = Image { height: height as u32, width: width as u32, rgb: array.bytes().to_vec() };
    let size = [camera.height, camera.width];
    Ok(if [image.height, image.width] == size { image } else { images::resize(&image, size) })
}

fn mismatch(key: &str, expected: &str, value: Option<&Value>) -> String {
    let found = value.map_or("missing".into(), Value::to_string);
    format!("`{key}` is {found}; expected {expected}")
}
