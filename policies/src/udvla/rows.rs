//! What comes into the model from a row and what leaves it: pictures in, robot units out.

use udvla_sims::observation::{ActionChunk, Camera, Image};

use super::manifest::{Benchmark, Rotation};
use super::prompt::{Layout, View};
use crate::normalize::{NormStats, euler_to_axis_angle};
use crate::policy::{PolicyError, PolicyInput};
use crate::tokens::FastTokenizer;
use crate::vision::{self, Picture};

/// The cameras that a layout wants, by the protocol's names.
pub fn cameras(layout: &Layout) -> Vec<Camera> {
    let camera =
        |view: &View| Camera { name: view.camera.clone(), height: view.height, width: view.width };
    layout.views.iter().map(camera).collect()
}

/// Compares the pictures of a row with the layout.
///
/// # Errors
/// Another number of pictures, another size, or fewer bytes than the size says.
pub fn check(row: &PolicyInput, layout: &Layout) -> Result<(), PolicyError> {
    let images = &row.observation.images;
    let fits = |(image, view): (&Image, &View)| {
        let size = (image.height, image.width);
        let bytes = size.0 as usize * size.1 as usize * 3;
        size == (view.height, view.width) && image.rgb.len() == bytes
    };
    if images.len() == layout.views.len() && images.iter().zip(&layout.views).all(fits) {
        return Ok(());
    }
    let wanted = layout.views.iter().map(|v| format!("`{}` {}x{}", v.camera, v.height, v.width));
    let got = images.iter().map(|i| format!("{}x{} ({} bytes)", i.height, i.width, i.rgb.len()));
    let list = |items: Vec<String>| match items.is_empty() {
        true => "none".into(),
        false => items.join(", "),
    };
    Err(PolicyError::Observation {
        key: row.key.clone(),
        wanted: format!("pictures {}", list(wanted.collect())),
        got: format!("pictures {}", list(got.collect())),
    })
}

/// One view of all rows as the vision tokenizer takes it: `[rows, 3, h, w]` in -1..=1.
pub fn pixels(batch: &[PolicyInput], view: usize, layout: &Layout) -> Vec<f32> {
    let pictures: Vec<Picture> = batch
        .iter()
        .map(|row| {
            let image = &row.observation.images[view];
            Picture { rgb: &image.rgb, size: (image.height as usize, image.width as usize) }
        })
        .collect();
    let [height, width] = layout.views[view].resized.map(|side| side as usize);
    vision::prepare(&pictures, (height, width))
}

/// The chunk that generated action ids stand for, in the simulator's units.
pub fn chunk(
    actions: &[i64],
    benchmark: &Benchmark,
    fast: &FastTokenizer,
    stats: &NormStats,
) -> ActionChunk {
    let (horizon, width) = (benchmark.layout.horizon, benchmark.layout.action_width);
    let mut values = fast.decode(actions, horizon, width); // [horizon, width]
    for action in values.chunks_exact_mut(width) {
        stats.unnormalize(action);
        match (benchmark.rotation, &mut *action) {
            (Rotation::EulerToAxisAngle, [_, _, _, roll, pitch, yaw, ..]) => {
                [*roll, *pitch, *yaw] = euler_to_axis_angle([*roll, *pitch, *yaw]);
            }
            (Rotation::EulerToAxisAngle | Rotation::AsIs, _) => {}
        }
        let gripper = action.last_mut().expect("the layout's action width is not 0");
        *gripper = benchmark.gripper.apply(*gripper);
    }
    ActionChunk { width, values: values.into_iter().map(|value| value as f32).collect() }
}
