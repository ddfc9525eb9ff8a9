//! `bench`: what takes how long on this machine.

#[cfg(feature = "torch")]
mod decode;
#[cfg(feature = "torch")]
mod figures;
mod pipeline;
mod sims;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

#[cfg(feature = "torch")]
pub use decode::run as decode;
pub use pipeline::run as pipeline;
pub use sims::run as sims;

use super::files::write_file;
use crate::run::manifest;

/// Smallest, median and largest of some measurements.
///
/// # Panics
/// Without any.
fn spread(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let [smallest, median, largest] = [0, values.len() / 2, values.len() - 1].map(|i| values[i]);
    json!({ "median": median, "smallest": smallest, "largest": largest })
}

/// What the figures were measured on.
fn conditions() -> Value {
    json!({
        "software": manifest::software(),
        "machine": manifest::machine(),
        "gpus": manifest::accelerators(),
        "date": crate::run::now(),
    })
}

/// Writes the figures into a file, or prints them.
fn write(figures: &Value, file: Option<&Path>) -> Result<()> {
    let text = format!("{figures:#}\n");
    match file {
        Some(file) => write_file(file, &text)?,
        None => print!("{text}"),
    }
    Ok(())
}
