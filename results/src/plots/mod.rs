//! Plots of a run, as SVG and as PNG; the same bytes on every machine and every time.

mod canvas;
mod draw;
mod forest;
mod raster;

pub use draw::success_by_task;
pub use raster::png;

/// Why a plot cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The drawing failed.
    #[error("cannot draw the plot: {reason}")]
    Draw {
        /// What the drawing library said; its own error cannot outlive the drawing.
        reason: String,
    },
    /// The SVG is none, or refers to what it does not hold.
    #[error("cannot read the plot's svg")]
    Svg(#[from] resvg::usvg::Error),
    /// The picture would have no or far too many pixels.
    #[error("the plot has no usable size: {width} x {height} pixels")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The picture could not be encoded.
    #[error("cannot encode the plot as png: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
}
