//! What a user sees while a run is going on: bars and lines on stderr. All wording is here.
//!
//! The engine reports typed [`Notice`]s; [`Reporter`] counts, draws bars and prints lines;
//! [`Heading`] and [`describe`] say what a run is.

pub mod color;
mod heading;
mod notice;
mod progress;
mod reporter;
mod running;

pub use heading::{Heading, describe};
pub use notice::{GaveUp, Notice, PolicyRemark};
pub use progress::Progress;
pub use reporter::{Detail, Reporter, Show};
pub use running::Running;
