//! Generated visual codes to images.

use tch::{Device, Kind, TchError, Tensor};
use udvla_sims::observation::Image;

use crate::udvla::checkpoint::{
    Checkpoint, CheckpointError, ImageLayout, Layout, SpecialIds, device,
};
use crate::vision::VisionDecoder;

/// Gray level of positions that are still masked.
const MASKED_GRAY: u8 = 128;

/// Decodes the image part of generated blocks.
pub struct ImageDecoder {
    decoder: VisionDecoder,
    device: Device,
    layout: Layout,
    ids: SpecialIds,
}

impl ImageDecoder {
    /// Opens a checkpoint's vision decoder for one benchmark's layout.
    ///
    /// # Errors
    /// An unknown benchmark or device; missing, truncated or invalid files.
    pub fn open(
        checkpoint: &Checkpoint,
        benchmark: &str,
        device: &str,
    ) -> Result<Self, CheckpointError> {
        Self::open_on(checkpoint, benchmark, device::placement(device, None)?.device)
    }

    /// As [`ImageDecoder::open`], on an available device.
    pub fn open_on(
        checkpoint: &Checkpoint,
        benchmark: &str,
        device: Device,
    ) -> Result<Self, CheckpointError> {
        let layout = checkpoint.benchmark(benchmark)?.layout.clone();
        let ids = checkpoint.config()?.ids;
        Ok(Self { decoder: checkpoint.decoder(device)?, device, layout, ids })
    }

    /// Whether a block, or the part of one that a decoder works on, contains all images.
    pub fn covers(&self, block: &[i64]) -> bool {
        block.len() >= self.layout.image_positions().iter().sum()
    }

    /// The images of a block, in their resized sizes. Pixels of the block positions `masked` are
    /// gray. An id that is not a visual code is decoded as code 0.
    ///
    /// # Panics
    /// If the block is shorter than the layout's images.
    pub fn decode(&self, block: &[i64], masked: &[usize]) -> Result<Vec<Image>, TchError> {
        let mut start = 0;
        let mut images = vec![];
        for layout in &self.layout.images {
            // Before the codes: begin mark, size text, image mark.
            let first = start + layout.size_text().len() + 2;
            let [rows, columns] = layout.grid().map(|side| side as usize);
            let ids = &block[first..first + rows * columns];
            let mut image = tch::no_grad(|| self.decode_image(layout, ids))?;
            let masked = masked.iter().filter_map(|at| at.checked_sub(first));
            for code in masked.filter(|code| *code < rows * columns) {
                fill_gray(&mut image, [code / columns, code % columns], [rows, columns]);
            }
            images.push(image);
            start += layout.positions();
        }
        Ok(images)
    }

    fn decode_image(&self, layout: &ImageLayout, ids: &[i64]) -> Result<Image, TchError> {
        let [rows, columns] = layout.grid().map(i64::from);
        let known = 0..self.ids.visual_codes();
        let code = |id: &i64| Some(id - self.ids.bov_token_id).filter(|code| known.contains(code));
        let codes: Vec<i64> = ids.iter().map(|id| code(id).unwrap_or(0)).collect();
        let codes = Tensor::f_from_slice(&codes)?.f_view([1, rows, columns])?;
        let decoded = self.decoder.decode(&codes.f_to_device(self.device)?); // [1, 3, 8h, 8w]
        let bytes = ((decoded * 0.5 + 0.5) * 255.0).f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?;
        let rgb = bytes.f_squeeze_dim(0)?.f_permute([1, 2, 0])?.f_contiguous()?.f_view(-1)?;
        let [height, width] = layout.resized;
        Ok(Image { height, width, rgb: Vec::try_from(rgb.f_to_device(Device::Cpu)?)? })
    }
}

/// Fills the pixels of one code of a grid with gray.
fn fill_gray(image: &mut Image, [row, column]: [usize; 2], [rows, columns]: [usize; 2]) {
    let (height, width) = (image.height as usize / rows, image.width as usize / columns);
    for y in row * height..(row + 1) * height {
        let start = 3 * (y * image.width as usize + column * width);
        image.rgb[start..start + 3 * width].fill(MASKED_GRAY);
    }
}
