//! A plot, and why there is none.

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// File name without extension.
    pub name: String,
    /// What it shows.
    pub title: &'static str,
    /// The plot as SVG.
    pub svg: String,
}

impl Plot {
    /// Its width in pixels.
    pub fn width(&self) -> f64 {
        let width = self.svg.split_once("<svg width=\"").and_then(|(_, rest)| rest.split_once('"'));
        width.and_then(|(width, _)| width.parse().ok()).unwrap_or(0.0)
    }
}

/// A plot that cannot be made of the given runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Without {
    /// What it would show.
    pub title: &'static str,
    /// What it requires.
    pub takes: &'static str,
}

/// Why a plot cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PlotError {
    /// The drawing library's error as text; the error itself cannot outlive the drawing.
    #[error("cannot draw the plot: {reason}")]
    Draw { reason: String },
    #[error("cannot read the plot's svg")]
    Svg(#[from] resvg::usvg::Error),
    #[error("the plot has no usable size: {width} x {height} pixels")]
    Size { width: u32, height: u32 },
    #[error("cannot encode the plot as png: {reason}")]
    Encode { reason: String },
}
