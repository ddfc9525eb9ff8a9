//! What a server announces, against what the benchmark's layout offers.

use std::collections::BTreeMap;

use udvla_sims::observation::Camera;

use super::ServerProtocol;
use super::session::Session;
use super::{Layout, error::Fault};
use crate::frames::Value;

/// What a server wishes to be sent, by name (vla-eval's `observation_params`).
pub(super) type Wishes = BTreeMap<String, serde_json::Value>;

/// The server's wishes, after everything it announces was found to fit.
///
/// # Errors
/// [`Fault::Answer`] with both sides of the first thing that does not fit.
pub(super) fn check(
    session: &Session,
    layout: &Layout,
    benchmark: &str,
    cameras: &[Camera],
) -> Result<Wishes, Fault> {
    for image in &layout.images {
        if !cameras.iter().any(|camera| camera.name == image.camera) {
            let names: Vec<_> = cameras.iter().map(|camera| camera.name.as_str()).collect();
            return Err(Fault::Answer(format!(
                "cannot be sent `{}`: the layout takes it from the camera `{}`, {benchmark} has {}",
                image.key,
                image.camera,
                if names.is_empty() { "none".into() } else { names.join(", ") }
            )));
        }
    }
    match session.protocol {
        ServerProtocol::Openpi => openpi(&session.greeting, layout, benchmark),
        ServerProtocol::Roboarena => roboarena(&session.greeting, layout),
        ServerProtocol::VlaEval => {
            action_spec(&session.greeting, layout)?;
            wishes(&session.greeting, layout)
        }
    }
}

/// openpi prescribes no metadata; what this project's own servers announce is checked.
fn openpi(greeting: &Value, layout: &Layout, benchmark: &str) -> Result<Wishes, Fault> {
    if let Some(other) = greeting.get("benchmark").and_then(Value::as_text)
        && other != benchmark
    {
        return Err(Fault::Answer(format!(
            "serves the benchmark `{other}`, this is `{benchmark}`"
        )));
    }
    if let Some(width) = greeting.get("action_width").and_then(Value::as_int)
        && width != layout.action_width as i64
    {
        return Err(width_differs(width, layout));
    }
    Ok(Wishes::new())
}

fn width_differs(width: i64, layout: &Layout) -> Fault {
    let ours = layout.action_width;
    Fault::Answer(format!("announces actions of {width} numbers, the layout has {ours}"))
}

fn roboarena(greeting: &Value, layout: &Layout) -> Result<Wishes, Fault> {
    let space = greeting.get("action_space").and_then(Value::as_text).unwrap_or_default();
    if !layout.action_spaces.iter().any(|known| known == space) {
        let known = match layout.action_spaces.join(", ") {
            known if known.is_empty() => "none".into(),
            known => known,
        };
        return Err(Fault::Answer(format!(
            "announces the action space `{space}`, the layout's `action_spaces` has {known}"
        )));
    }
    let asks = |key: &str| greeting.get(key).and_then(Value::as_bool) == Some(true);
    if asks("needs_stereo_camera") {
        return Err(Fault::Answer("asks for a stereo camera, which no benchmark has".into()));
    }
    let is_wrist = |key: &str| key.contains("wrist");
    let (wrist, external): (Vec<_>, Vec<_>) =
        layout.images.iter().partition(|image| is_wrist(&image.key));
    let needed = greeting.get("n_external_cameras").and_then(Value::as_int).unwrap_or(0);
    if asks("needs_wrist_camera") && wrist.is_empty() || needed > external.len() as i64 {
        return Err(Fault::Answer(format!(
            "asks for external cameras: {needed}, wrist camera: {}; the layout has {} and {}",
            asks("needs_wrist_camera"),
            external.len(),
            wrist.len()
        )));
    }
    Ok(Wishes::new())
}

fn action_spec(greeting: &Value, layout: &Layout) -> Result<(), Fault> {
    let Some(Value::Map(parts)) = greeting.get("action_spec") else { return Ok(()) };
    for (name, part) in parts {
        let format = part.get("format").and_then(Value::as_text).unwrap_or_default();
        if let Some(played) = layout.formats.get(name)
            && !played.iter().any(|played| played == format)
            && format != "raw"
        {
            return Err(Fault::Answer(format!(
                "announces {name} as `{format}`, the benchmark plays `{}`",
                played.join("` or `")
            )));
        }
    }
    let dims = |(_, part): &(String, Value)| part.get("dims").and_then(Value::as_int);
    match parts.iter().map(dims).collect::<Option<Vec<_>>>() {
        // 0 stands for an open number.
        Some(dims) if dims.contains(&0) => Ok(()),
        Some(dims) if dims.iter().sum::<i64>() != layout.action_width as i64 => {
            Err(width_differs(dims.iter().sum(), layout))
        }
        _ => Ok(()),
    }
}

fn wishes(greeting: &Value, layout: &Layout) -> Result<Wishes, Fault> {
    let Some(Value::Map(asked)) = greeting.get("observation_params") else {
        return Ok(Wishes::new());
    };
    let mut wishes = Wishes::new();
    for (name, value) in asked {
        let value = json(value);
        let accepted = layout.accepted.get(name);
        if accepted.is_some_and(|accepted| accepted.contains(&value)) {
            wishes.insert(name.clone(), value);
        } else if !layout.ignored.contains(name) {
            let accepted = accepted.map_or("not this at all".into(), |accepted| {
                let texts: Vec<_> = accepted.iter().map(ToString::to_string).collect();
                texts.join(" or ")
            });
            return Err(Fault::Answer(format!(
                "asks for `{name}` = {value}; the layout offers {accepted}"
            )));
        }
    }
    Ok(wishes)
}

/// A value as JSON; what JSON lacks, as text.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(values) => values.iter().map(json).collect(),
        Value::Map(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), json(value))).collect()
        }
        Value::Bytes(_) | Value::Array(_) => value.to_string().into(),
    }
}
