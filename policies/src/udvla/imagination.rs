//! The pictures that a generated block stands for.

use tch::{Device, Kind, TchError, Tensor};
use udvla_sims::observation::Image;

use super::checkpoint::Checkpoint;
use super::config::SpecialIds;
use super::device;
use super::error::CheckpointError;
use super::prompt::{Layout, View};
use crate::vision::VisionDecoder;

/// Byte of each channel where a position is still unknown.
const UNKNOWN: u8 = 128;

/// Turns generated blocks into pictures of their views.
pub struct Imagination {
    decoder: VisionDecoder,
    device: Device,
    layout: Layout,
    ids: SpecialIds,
}

impl Imagination {
    /// The vision tokenizer's decoder of a checkpoint, for one benchmark's views.
    ///
    /// # Errors
    /// An unknown benchmark or device; missing, cut or foreign files.
    pub fn open(
        checkpoint: &Checkpoint,
        benchmark: &str,
        device: &str,
    ) -> Result<Self, CheckpointError> {
        Self::of(checkpoint, benchmark, device::placement(device, None)?.device)
    }

    /// As [`Imagination::open`], on a device that is known to be there.
    ///
    /// # Errors
    /// As [`Imagination::open`].
    pub(super) fn of(
        checkpoint: &Checkpoint,
        benchmark: &str,
        device: Device,
    ) -> Result<Self, CheckpointError> {
        let layout = checkpoint.benchmark(benchmark)?.layout.clone();
        let ids = checkpoint.config()?.ids;
        Ok(Self { decoder: checkpoint.decoder(device)?, device, layout, ids })
    }

    /// Whether a block, or the part of one that a decoder works on, is long enough for its views.
    pub fn shows(&self, block: &[i64]) -> bool {
        block.len() >= self.layout.view_positions().iter().sum()
    }

    /// A picture per view of a block, in its resized size. `masked` are the block positions that
    /// count as unknown: their pixels are grey. An id that is no visual code is drawn as code 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    ///
    /// # Panics
    /// If the block is shorter than the layout's views.
    pub fn views(&self, block: &[i64], masked: &[usize]) -> Result<Vec<Image>, TchError> {
        let mut start = 0;
        let mut images = vec![];
        for view in &self.layout.views {
            // Begin mark, size text, image mark; behind the codes frame end and end mark.
            let first = start + view.size_text().len() + 2;
            let [rows, columns] = view.grid().map(|side| side as usize);
            let ids = &block[first..first + rows * columns];
            let mut image = tch::no_grad(|| self.picture(view, ids))?;
            let masked = masked.iter().filter_map(|at| at.checked_sub(first));
            for code in masked.filter(|code| *code < rows * columns) {
                hide(&mut image, [code / columns, code % columns], [rows, columns]);
            }
            images.push(image);
            start += view.positions();
        }
        Ok(images)
    }

    fn picture(&self, view: &View, ids: &[i64]) -> Result<Image, TchError> {
        let [rows, columns] = view.grid().map(i64::from);
        let known = 0..self.ids.visual_codes();
        let code = |id: &i64| Some(id - self.ids.bov_token_id).filter(|code| known.contains(code));
        let codes: Vec<i64> = ids.iter().map(|id| code(id).unwrap_or(0)).collect();
        let codes = Tensor::f_from_slice(&codes)?.f_view([1, rows, columns])?;
        let decoded = self.decoder.decode(&codes.f_to_device(self.device)?); // [1, 3, 8h, 8w]
        let bytes = ((decoded * 0.5 + 0.5) * 255.0).f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?;
        let rgb = bytes.f_squeeze_dim(0)?.f_permute([1, 2, 0])?.f_contiguous()?.f_view(-1)?;
        let [height, width] = view.resized;
        Ok(Image { height, width, rgb: Vec::try_from(rgb.f_to_device(Device::Cpu)?)? })
    }
}

/// Greys the pixels of one code of a grid.
fn hide(image: &mut Image, [row, column]: [usize; 2], [rows, columns]: [usize; 2]) {
    let (height, width) = (image.height as usize / rows, image.width as usize / columns);
    for y in row * height..(row + 1) * height {
        let start = 3 * (y * image.width as usize + column * width);
        image.rgb[start..start + 3 * width].fill(UNKNOWN);
    }
}
