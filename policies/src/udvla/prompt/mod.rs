//! Observations to token sequences, and generated blocks back to actions and images.
//!
//! [`ObservationEncoder`] turns images and an instruction into a [`Prompt`]; a decoder fills a
//! [`Block`]; [`ActionDecoder`] turns its action ids into an action chunk and [`ImageDecoder`] its
//! visual codes into images.

mod actions;
mod encode;
mod images;
mod sequence;

pub use actions::ActionDecoder;
pub use encode::ObservationEncoder;
pub use images::ImageDecoder;
pub use sequence::{Block, ImageTokens, Prompt, action_ids, allowed_action_ids, allowed_image_ids};
