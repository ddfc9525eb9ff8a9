//! The figures of `bench decode`, as JSON and in a line.

use std::time::Duration;

use serde_json::{Map, Value, json};
use udvla_policies::Policy;
use udvla_policies::udvla::timing::{Phases, Reading};
use udvla_policies::udvla::{UdVla, device};

use super::spread;
use crate::cli::DecodeArguments;
use crate::run::manifest;

/// One answered batch.
pub(super) struct Lap {
    /// Time per phase.
    pub phases: Phases,
    /// Products with weights.
    pub products: u64,
}

impl Lap {
    /// The phases by name, and their sum.
    fn named(&self) -> [(&'static str, Reading); 5] {
        let Phases { encode, prefill, denoise, decode } = self.phases;
        let parts = [encode, prefill, denoise, decode];
        let whole = Reading {
            wall: parts.iter().map(|part| part.wall).sum(),
            processor: parts.iter().map(|part| part.processor).sum(),
        };
        let names = ["encode", "prefill", "denoise", "decode"];
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| (names[index], parts[index]));
        [("whole", whole), a, b, c, d]
    }
}

/// Everything that was measured and what it was measured on. Times are seconds per batch, but
/// for `seconds_per_chunk`. Long because the file has a line per key.
pub(super) fn figures(arguments: &DecodeArguments, policy: &UdVla, laps: &[Lap]) -> Value {
    let seconds = |time: fn(&Reading) -> Duration| -> Value {
        let names = laps[0].named().map(|(name, _)| name);
        let phase = |index: usize| {
            let times = laps.iter().map(|lap| time(&lap.named()[index].1).as_secs_f64());
            (names[index].to_owned(), spread(times.collect()))
        };
        (0..names.len()).map(phase).collect::<Map<_, _>>().into()
    };
    let (wall, processor) = (seconds(|time| time.wall), seconds(|time| time.processor));
    let median = |phase: &str| wall[phase]["median"].as_f64().unwrap_or_default();
    let rows = f64::from(arguments.batch);
    let positions = rows * policy.block_positions() as f64;
    let subject = &policy.spec().subject;
    // The released two-stage loop counts its action stage's positions, the others the block's.
    let counted = match subject.decoding.as_deref() {
        Some("id") => rows * policy.action_positions() as f64,
        _ => positions,
    };
    json!({
        "model": match &arguments.checkpoint {
            Some(dir) => dir.display().to_string(),
            None => arguments.model.name().to_owned(),
        },
        "benchmark": arguments.benchmark,
        "attention": subject.attention,
        "decoding": subject.decoding,
        "sampler": subject.sampler,
        "denoise_steps": subject.denoise_steps,
        "action_steps": subject.action_steps,
        "dtype": subject.dtype,
        "batch": arguments.batch,
        "setting": policy.spec().setting,
        "gpus": manifest::accelerators(),
        "threads": device::threads(),
        "software": manifest::software(),
        "machine": manifest::machine(),
        "date": crate::run::now(),
        "warm_up": arguments.warm_up,
        "repeats": laps.len(),
        "weight_products": laps[0].products,
        "block_positions": policy.block_positions(),
        "seconds_per_chunk": median("whole") / rows,
        "positions_per_second": positions / median("whole"),
        // The released code times its loop alone.
        "released_tokens_per_second": counted / (median("prefill") + median("denoise")),
        "seconds": wall,
        "processor_seconds": processor,
    })
}

/// The measurements as a line of text.
pub(super) fn line(figures: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |key: &str| figures[key].as_f64().unwrap_or_default();
    let seconds = |phase: &str| {
        let median = figures["seconds"][phase]["median"].as_f64().unwrap_or_default();
        format!("{phase} {median:.3} s")
    };
    let phases = ["encode", "prefill", "denoise", "decode"].map(seconds).join(", ");
    let steps = ["denoise_steps", "action_steps"].map(|key| figures[key].as_u64());
    let steps: Vec<String> = steps.into_iter().flatten().map(|steps| steps.to_string()).collect();
    let steps = match steps.is_empty() {
        true => String::new(),
        false => format!(" in {} steps", steps.join(" + ")),
    };
    format!(
        "{}: {}, {}{steps}, batch {}, {} on {} ({} threads): {:.3} s per chunk ({phases}), \
         {:.1} positions/s, {:.1} by the released counting",
        text(&figures["model"]),
        text(&figures["decoding"]),
        text(&figures["attention"]),
        figures["batch"],
        text(&figures["dtype"]),
        text(&figures["setting"]["device"]),
        figures["threads"],
        number("seconds_per_chunk"),
        number("positions_per_second"),
        number("released_tokens_per_second"),
    )
}

/// The comparison with decoding each row alone, as a line of text.
pub(super) fn alone_line(alone: &Value) -> String {
    let sum = |key: &str| {
        alone[key].as_array().into_iter().flatten().filter_map(Value::as_u64).sum::<u64>()
    };
    let rows = alone["ids"].as_array().map_or(0, Vec::len);
    format!(
        "{rows} rows alone: {} of {} ids differ from those in the batch",
        sum("differing"),
        sum("ids")
    )
}
