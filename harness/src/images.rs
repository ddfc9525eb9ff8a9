//! Images: PNG files in and out, resizing, grids with headings.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use udvla_policies::vision::resize_bicubic;
use udvla_results::run::timeline::{FutureGrid, FutureRow};
use udvla_sims::observation::Image;

/// White pixels between the images of a grid.
const GAP: usize = 4;
/// Height of a line of headings.
const HEADING: u32 = 18;
/// Width that a heading of two or three words needs.
const LEGIBLE: u32 = 144;

/// Reads a PNG file; transparency is ignored.
///
/// # Errors
/// When the file cannot be read or is no PNG image.
pub fn read(file: &Path) -> Result<Image> {
    let name = || format!("cannot read the image `{}`", file.display());
    let opened = BufReader::new(File::open(file).with_context(name)?);
    decode(png::Decoder::new(opened)).with_context(name)
}

fn decode(mut decoder: png::Decoder<impl BufRead + Seek>) -> Result<Image> {
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().context("the image is too large")?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes)?;
    let bytes = &bytes[..info.buffer_size()];
    let rgb = match info.color_type {
        png::ColorType::Rgb => bytes.to_vec(),
        png::ColorType::Rgba => bytes.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => bytes.iter().flat_map(|&p| [p, p, p]).collect(),
        png::ColorType::GrayscaleAlpha => {
            bytes.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0]]).collect()
        }
        png::ColorType::Indexed => bail!("its palette was not resolved"),
    };
    Ok(Image { height: info.height, width: info.width, rgb })
}

/// Writes a PNG file.
///
/// # Errors
/// When it cannot be written.
pub fn write(file: &Path, image: &Image) -> Result<()> {
    let name = || format!("cannot write the image `{}`", file.display());
    let out = BufWriter::new(File::create(file).with_context(name)?);
    let mut encoder = png::Encoder::new(out, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().with_context(name)?.write_image_data(&image.rgb).with_context(name)
}

/// The image in another size, bicubic as for the model; the aspect ratio is not kept.
pub fn resize(image: &Image, [height, width]: [u32; 2]) -> Image {
    let from = (image.height as usize, image.width as usize);
    let rgb = resize_bicubic(&image.rgb, from, (height as usize, width as usize));
    Image { height, width, rgb }
}

/// Rows of images on white, each column as wide and each row as high as its largest image.
pub fn grid(rows: &[Vec<Image>]) -> Image {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|index| column_width(rows, index) as usize + GAP).collect();
    let height_of =
        |row: &Vec<Image>| row.iter().map(|image| image.height).max().unwrap_or(0) as usize + GAP;
    let width = GAP + widths.iter().sum::<usize>();
    let height = GAP + rows.iter().map(height_of).sum::<usize>();
    let mut rgb = vec![255; 3 * width * height];
    let mut top = GAP;
    for row in rows {
        let mut left = GAP;
        for (image, column) in row.iter().zip(&widths) {
            let lines = image.rgb.chunks_exact(3 * image.width as usize);
            for (line, y) in lines.zip(top..) {
                let start = 3 * (y * width + left);
                rgb[start..start + line.len()].copy_from_slice(line);
            }
            left += column;
        }
        top += height_of(row);
    }
    Image { height: height as u32, width: width as u32, rgb }
}

/// As [`grid`], with a heading over each column.
///
/// # Errors
/// When a heading cannot be rendered.
pub fn labelled(columns: &[String], rows: &[Vec<Image>]) -> Result<Image> {
    let headings = columns
        .iter()
        .enumerate()
        .map(|(index, text)| heading(text, column_width(rows, index)))
        .collect::<Result<Vec<_>>>()?;
    Ok(grid(&[&[headings], rows].concat()))
}

/// Rows of small images enlarged so that headings fit above them, all by the same whole factor.
pub fn enlarged(rows: Vec<Vec<Image>>) -> Vec<Vec<Image>> {
    let widest = rows.iter().flatten().map(|image| image.width).max().unwrap_or(LEGIBLE);
    let factor = LEGIBLE.div_ceil(widest.max(1)) as usize;
    let repeat = |image: Image| {
        let lines = image.rgb.chunks_exact(3 * image.width as usize);
        let line = |line: &[u8]| -> Vec<u8> {
            line.chunks_exact(3).flat_map(|pixel| pixel.repeat(factor)).collect()
        };
        let rgb = lines.flat_map(|pixels| line(pixels).repeat(factor)).collect();
        let [height, width] = [image.height, image.width].map(|side| side * factor as u32);
        Image { height, width, rgb }
    };
    rows.into_iter().map(|row| row.into_iter().map(repeat).collect()).collect()
}

/// Where [`labelled`] puts the images of the first column, and how far it is to the next.
pub fn first_column(rows: &[Vec<Image>]) -> FutureGrid {
    let gap = GAP as u32;
    let mut top = gap + HEADING + gap;
    let row = |row: &Vec<Image>| {
        let first = row.first().map_or((0, 0), |image| (image.height, image.width));
        let place = FutureRow { top, height: first.0, width: first.1 };
        top += row.iter().map(|image| image.height).max().unwrap_or(0) + gap;
        place
    };
    let rows_placed = rows.iter().map(row).collect();
    FutureGrid { left: gap, pitch: column_width(rows, 0) + gap, rows: rows_placed }
}

/// Width of the widest image of a column.
fn column_width(rows: &[Vec<Image>], index: usize) -> u32 {
    rows.iter().filter_map(|row| row.get(index)).map(|image| image.width).max().unwrap_or(0)
}

/// A line of text, as wide as the image below it.
fn heading(text: &str, width: u32) -> Result<Image> {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{HEADING}\" \
         font-family=\"Inter\" font-size=\"11\" fill=\"#222\"><rect width=\"100%\" \
         height=\"100%\" fill=\"#fff\"/><text x=\"1\" y=\"13\">{text}</text></svg>"
    );
    let png = udvla_results::out::plots::png(&svg)?;
    let drawn = decode(png::Decoder::new(Cursor::new(png)))?;
    // The renderer draws larger than asked for, for print.
    Ok(resize(&drawn, [HEADING, width]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_is_where_the_grid_put_it() {
        let image = |side: u32, byte| Image {
            height: side,
            width: side,
            rgb: vec![byte; (3 * side * side) as usize],
        };
        let rows = vec![vec![image(90, 10), image(90, 20)], vec![image(80, 30), image(80, 40)]];
        let whole = labelled(&["a".into(), "b".into()], &rows).unwrap();
        let places = first_column(&rows);
        let at = |x: u32, y: u32| whole.rgb[3 * (y * whole.width + x) as usize];
        for (row, bytes) in places.rows.iter().zip([[10, 20], [30, 40]]) {
            for (column, byte) in (0..).zip(bytes) {
                let left = places.left + column * places.pitch;
                let (right, bottom) = (left + row.width - 1, row.top + row.height - 1);
                let corners = [(left, row.top), (right, row.top), (left, bottom), (right, bottom)];
                assert_eq!(corners.map(|(x, y)| at(x, y)), [byte; 4]);
                assert_eq!([at(left - 1, row.top), at(right + 1, bottom)], [255; 2]);
            }
        }
    }

    #[test]
    fn small_images_are_enlarged_alike_and_wide_ones_stay() {
        let image = |width: u32, rgb: &[u8]| Image { height: 1, width, rgb: rgb.to_vec() };
        let small = vec![vec![image(2, &[1, 2, 3, 4, 5, 6])], vec![image(1, &[7, 8, 9])]];
        let large = enlarged(small);
        let [wide, narrow] = [&large[0][0], &large[1][0]];
        assert_eq!([wide.height, wide.width, narrow.height, narrow.width], [72, 144, 72, 72]);
        let at = |y: usize, x: usize| &wide.rgb[3 * (144 * y + x)..][..3];
        assert_eq!(
            [at(0, 0), at(71, 71), at(0, 72), at(71, 143)],
            [&[1, 2, 3], &[1, 2, 3], &[4, 5, 6], &[4, 5, 6]]
        );
        assert!(narrow.rgb.chunks_exact(3).all(|pixel| pixel == [7, 8, 9]));
        let wide = vec![vec![image(200, &[5; 600])]];
        assert_eq!(enlarged(wide.clone())[0][0].rgb, wide[0][0].rgb);
    }

    #[test]
    fn an_image_reads_back_and_a_grid_keeps_its_images() {
        let image = |height, width, byte| Image {
            height,
            width,
            rgb: vec![byte; (3 * height * width) as usize],
        };
        let whole = grid(&[vec![image(8, 16, 1), image(8, 8, 2)], vec![image(4, 4, 3)]]);
        assert_eq!((whole.height, whole.width), (4 + 12 + 8, 4 + 20 + 12));
        let count = |byte: u8| whole.rgb.iter().filter(|&&b| b == byte).count() / 3;
        assert_eq!([1, 2, 3].map(count), [128, 64, 16]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        write(&file, &whole).unwrap();
        assert_eq!(read(&file).unwrap().rgb, whole.rgb);
        assert!(read(&folder.path().join("none.png")).is_err());
    }
}
