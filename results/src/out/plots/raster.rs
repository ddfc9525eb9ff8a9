//! A plot's SVG as PNG, with the bundled font.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::plot::PlotError;

/// Inter, regular; see `fonts/README.md`.
const FONT: &[u8] = include_bytes!("../../../fonts/Inter-Regular.otf");
/// The font's name for whatever the SVG asks for.
const FAMILY: &str = "Inter";
/// Pixels of the PNG for one of the SVG.
const SCALE: f32 = 2.0;

/// Renders `svg` as PNG, two pixels for one; no font of the machine is used.
///
/// # Errors
/// If it is no SVG, or has no size that fits into memory.
pub fn png(svg: &str) -> Result<Vec<u8>, PlotError> {
    let tree = tree(svg)?;
    let size = tree.size();
    let (width, height) = (pixels(size.width()), pixels(size.height()));
    let mut picture = Pixmap::new(width, height).ok_or(PlotError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    encoded(picture).map_err(|e| PlotError::Encode { reason: e.to_string() })
}

/// The picture as PNG, lightly compressed: the default compression took a fifth of a report's time.
fn encoded(picture: Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&picture.take_demultiplied())?;
    Ok(bytes)
}

/// The SVG with its text laid out.
fn tree(svg: &str) -> Result<Tree, PlotError> {
    static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(FONT.to_vec());
        fonts.set_sans_serif_family(FAMILY);
        Arc::new(fonts)
    });
    let options =
        Options { fontdb: Arc::clone(&FONTS), font_family: FAMILY.into(), ..Options::default() };
    Ok(Tree::from_str(svg, &options)?)
}

fn pixels(length: f32) -> u32 {
    (length * SCALE).ceil() as u32
}
