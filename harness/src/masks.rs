//! The four attention masks of a sequence as one image, like the paper's figure 2.
//!
//! A row of a mask is a query, a column a key; filled means attended. Each part of the sequence is
//! as wide as the square root of its positions, so that the text stays visible.

use std::fmt::Write;

use udvla_policies::udvla::Attention;
use udvla_policies::udvla::model::mask::{Order, Parts, Run};

/// Side of a mask, space for its labels, and distances, in pixels.
const SIDE: f64 = 300.0;
const LABELS: f64 = 96.0;
const HEAD: f64 = 84.0;
const GAP: f64 = 24.0;
/// No part is narrower, so that its label fits.
const NARROWEST: f64 = 15.0;

/// The masks of a sequence with images of these cameras, as SVG; `own` is marked as the
/// checkpoint's.
pub fn svg(parts: &Parts, cameras: &[&str], own: Option<Attention>) -> String {
    let scale = Scale::new(parts, cameras);
    let (panel_width, panel_height) = (LABELS + SIDE + GAP, HEAD + SIDE + GAP);
    let (width, height) = (2.0 * panel_width + GAP, 2.0 * panel_height + 56.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"Inter, Helvetica, Arial, sans-serif\" font-size=\"11\" fill=\"#222\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, attention) in Attention::ALL.into_iter().enumerate() {
        let x = LABELS + (index % 2) as f64 * panel_width;
        let y = HEAD + (index / 2) as f64 * panel_height;
        let mark = if own == Some(attention) { " (this checkpoint's)" } else { "" };
        panel(&mut svg, &scale, &attention.runs(parts, None), (x, y));
        let title = format!("{attention}{mark}");
        text(&mut svg, (x, y - HEAD + 20.0), "font-size=\"15\"", &title);
    }
    let note = format!(
        "{} positions; rows are queries, columns are keys, filled means attended. Parts are as \
         wide as the square root of their positions.",
        parts.total()
    );
    text(&mut svg, (GAP, height - 20.0), "fill=\"#5f5f5f\"", &note);
    svg.push_str("</svg>\n");
    svg
}

/// Where positions are drawn.
struct Scale {
    /// Each part's name, its first position, and the pixel that it begins at.
    parts: Vec<(String, usize, f64)>,
    total: usize,
}

impl Scale {
    fn new(parts: &Parts, cameras: &[&str]) -> Self {
        let mut named = vec![("text".to_owned(), parts.text)];
        for (suffix, lengths) in [("", &parts.images), (" later", &parts.future)] {
            let views = cameras.iter().zip(lengths);
            named.extend(views.map(|(camera, &length)| (format!("{camera}{suffix}"), length)));
        }
        named.push(("actions".into(), parts.actions));
        let roots: f64 = named.iter().map(|(_, length)| (*length as f64).sqrt()).sum();
        let rest = SIDE - NARROWEST * named.len() as f64;
        let (mut position, mut pixel) = (0, 0.0);
        let parts_at = named.into_iter().map(|(name, length)| {
            let at = (name, position, pixel);
            position += length;
            pixel += NARROWEST + rest * (length as f64).sqrt() / roots;
            at
        });
        Self { parts: parts_at.collect(), total: parts.total() }
    }

    /// Pixels from the edge to the near side of a position.
    fn pixel(&self, position: usize) -> f64 {
        let index = self.parts.partition_point(|(_, start, _)| *start <= position) - 1;
        let (_, start, pixel) = &self.parts[index];
        let next = self.parts.get(index + 1).map_or((self.total, SIDE), |next| (next.1, next.2));
        let share = (position - start) as f64 / (next.0 - start) as f64;
        pixel + share * (next.1 - pixel)
    }
}

fn panel(svg: &mut String, scale: &Scale, runs: &[Run], (x, y): (f64, f64)) {
    rectangle(svg, (x, y), (SIDE, SIDE), "#f2f2f2");
    for run in runs {
        let (start, end) = (scale.pixel(run.start), scale.pixel(run.end));
        let seen = match run.order {
            Order::Bidirectional => end,
            Order::Causal => start,
        };
        rectangle(svg, (x, y + start), (seen, end - start), "#0072b2");
        if run.order == Order::Causal {
            let corners = [(start, start), (end, end), (start, end)];
            let corners = corners.map(|(dx, dy)| format!("{:.2},{:.2}", x + dx, y + dy));
            writeln!(svg, "<polygon points=\"{}\" fill=\"#0072b2\"/>", corners.join(" "))
                .expect("text grows");
        }
    }
    for (index, (name, _, pixel)) in scale.parts.iter().enumerate() {
        let end = scale.parts.get(index + 1).map_or(SIDE, |next| next.2);
        let middle = (pixel + end) / 2.0;
        for (size, corner) in [((SIDE, 0.8), (x, y + pixel)), ((0.8, SIDE), (x + pixel, y))] {
            rectangle(svg, corner, size, "#ffffff");
        }
        text(svg, (x - 6.0, y + middle + 4.0), "text-anchor=\"end\"", name);
        let (at, turn) = ((x + middle + 3.0, y - 6.0), x + middle + 3.0);
        let turned = format!("transform=\"rotate(-40 {turn:.1} {:.1})\"", y - 6.0);
        text(svg, at, &turned, name);
    }
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
    writeln!(
        svg,
        "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
         fill=\"{fill}\"/>"
    )
    .expect("text grows");
}

fn text(svg: &mut String, (x, y): (f64, f64), attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>")
        .expect("text grows");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_has_its_place_and_the_parts_fill_the_side() {
        let parts = Parts::new(10, vec![636, 111], 70);
        let scale = Scale::new(&parts, &["static", "gripper"]);
        let pixels: Vec<f64> = (0..=parts.total()).map(|position| scale.pixel(position)).collect();
        assert!(pixels.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((pixels[0], pixels[parts.total()]) == (0.0, SIDE), "{:?}", pixels.last());
        let names: Vec<_> = scale.parts.iter().map(|part| part.0.as_str()).collect();
        let wanted = ["text", "static", "gripper", "static later", "gripper later", "actions"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn the_image_names_all_masks_and_marks_the_checkpoints_own() {
        let parts = Parts::new(4, vec![8], 5);
        let svg = svg(&parts, &["a<b"], Some(Attention::Hybrid));
        for attention in Attention::ALL {
            assert!(svg.contains(attention.name()), "{attention}");
        }
        assert_eq!(svg.matches("(this checkpoint's)").count(), 1);
        assert!(svg.contains("a&lt;b later") && udvla_results::out::plots::png(&svg).is_ok());
    }
}
