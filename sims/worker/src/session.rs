//! A Python adapter and the episode it is playing.

use std::collections::BTreeMap;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes};
use sha2::{Digest, Sha256};
use udvla_sims::episode::{AT_FIRST_STEP, AT_RESET, EpisodeKey, Notes};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::{Protocol, hex};
use udvla_sims::wire::{OpenConfig, Reply, VideoRequest, from_bytes, to_bytes};

/// An adapter and its current episode.
pub struct Session {
    pub(crate) adapter: Py<PyAny>,
    pub(crate) width: usize,
    control_hz: f32,
    pub(crate) images: bool,
    pub(crate) protocol: Protocol,
    last_look: bool,
    episode: Option<Episode>,
}

/// State of a running episode.
pub(crate) struct Episode {
    /// Stages completed, and stages of the whole episode.
    pub(crate) stage: u16,
    stages: u16,
    executed: Vec<f32>,
    pub(crate) steps: u32,
    /// The goal of the first stage held after the reset, or after the first control step.
    solved_at_start: Option<&'static str>,
    video: Option<(VideoRequest, Py<PyAny>)>,
}

impl Episode {
    /// Keeps or discards the video; true if it was kept.
    fn end_video(&self, python: Python<'_>, truncated: bool) -> PyResult<bool> {
        let Some((request, writer)) = &self.video else { return Ok(false) };
        let keep = truncated || !request.failures_only;
        writer.call_method0(python, if keep { "finish" } else { "abort" })?;
        Ok(keep)
    }
}

/// The adapter's `Progress`.
#[derive(FromPyObject)]
struct Progress {
    stage: u16,
    done: bool,
    truncated: bool,
}

/// The adapter's `Spec`.
#[derive(FromPyObject)]
struct Spec {
    cameras: Vec<(String, u32, u32)>,
    state: Vec<String>,
    action: Vec<String>,
    control_hz: f32,
    setting: BTreeMap<String, String>,
}

impl Session {
    /// Imports `udvla_sims.<benchmark>` and constructs its adapter.
    pub fn open(
        python: Python<'_>,
        config: &OpenConfig,
    ) -> PyResult<(Self, SimSpec, BTreeMap<String, String>)> {
        let protocol = serde_json::to_string(&config.protocol).map_err(value_error)?;
        let protocol = python.import("json")?.call_method1("loads", (protocol,))?;
        let dictionary = pyo3::types::PyDict::new(python);
        for (name, value) in &config.options {
            dictionary.set_item(name, value)?;
        }
        dictionary.set_item("protocol", protocol)?;
        dictionary.set_item("suites", &config.suites)?;
        dictionary.set_item("images", config.images)?;
        dictionary.set_item("video", config.video)?;
        dictionary.set_item("scratch", &config.scratch)?;
        let module = python.import(format!("udvla_sims.{}", config.protocol.benchmark))?;
        let adapter = module.getattr("Adapter")?.call1((dictionary,))?;
        let spec: Spec = adapter.getattr("spec")?.extract()?;
        let cameras = spec.cameras.into_iter();
        let sim = SimSpec {
            cameras: cameras.map(|(name, height, width)| Camera { name, height, width }).collect(),
            state: spec.state,
            action: spec.action,
            control_hz: spec.control_hz,
        };
        let session = Self {
            adapter: adapter.unbind(),
            width: sim.action.len(),
            control_hz: spec.control_hz,
            images: config.images,
            protocol: config.protocol.clone(),
            last_look: config.images && config.last_look,
            episode: None,
        };
        Ok((session, sim, spec.setting))
    }

    /// Sets up an episode's initial state and observes it.
    pub fn reset(
        &mut self,
        python: Python<'_>,
        key: &EpisodeKey,
        video: Option<VideoRequest>,
    ) -> PyResult<(Reply, Vec<u8>)> {
        self.abort_video(python)?;
        self.adapter.call_method1(python, "reset", (&key.suite, key.task, key.trial))?;
        let stages = self.protocol.stages(key).map_err(value_error)?;
        let mut episode = Episode {
            stage: 0,
            stages,
            executed: vec![],
            steps: 0,
            solved_at_start: self.solved(python)?.then_some(AT_RESET),
            video: None,
        };
        if let Some(request) = video {
            let frame = self.adapter.call_method0(python, "frame")?.into_bound(python);
            let (height, width, _): (usize, usize, usize) = frame.getattr("shape")?.extract()?;
            let rate = self.control_hz / f32::from(request.every);
            let module = python.import("udvla_sims.video")?;
            let writer = module.getattr("Writer")?.call1((&request.path, height, width, rate))?;
            writer.call_method1("add", (frame,))?;
            episode.video = Some((request, writer.unbind()));
        }
        self.episode = Some(episode);
        self.observe(python)
    }

    /// Plays a chunk of actions.
    pub fn play(
        &mut self,
        python: Python<'_>,
        width: usize,
        body: &[u8],
    ) -> PyResult<(Reply, Vec<u8>)> {
        let values = from_bytes(body).filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| value_error("a chunk without actions"))?;
        if width != self.width || values.len() % width != 0 {
            return Err(value_error(format!(
                "a chunk of {} numbers, {width} per action; this simulator takes {}",
                values.len(),
                self.width
            )));
        }
        let steps = values.len() / width;
        self.steps(python, steps, |_, step| Ok(values[step * width..][..width].to_vec()))
    }

    /// Lets the adapter's scripted expert play.
    pub fn script(&mut self, python: Python<'_>, steps: u16) -> PyResult<(Reply, Vec<u8>)> {
        self.steps(python, usize::from(steps), |adapter, _| script_action(adapter, python))
    }

    /// Up to `count` control steps, whose actions come from the adapter and the step's index.
    fn steps(
        &mut self,
        python: Python<'_>,
        count: usize,
        action: impl Fn(&Py<PyAny>, usize) -> PyResult<Vec<f32>>,
    ) -> PyResult<(Reply, Vec<u8>)> {
        for index in 0..count {
            let action = action(&self.adapter, index)?;
            let render = self.last_look || self.images && index + 1 == count;
            match self.step(python, &action, render)? {
                Some(End::Stage) => break,
                Some(End::Episode { truncated }) => return self.finish(python, truncated),
                None => {}
            }
        }
        self.observe(python)
    }

    /// Frees the simulator.
    pub fn close(mut self, python: Python<'_>) -> PyResult<()> {
        self.abort_video(python)?;
        self.adapter.call_method0(python, "close").map(drop)
    }

    /// One control step, rendered if its images may be read afterwards.
    pub(crate) fn step(
        &mut self,
        python: Python<'_>,
        action: &[f32],
        render: bool,
    ) -> PyResult<Option<End>> {
        let array = PyArray1::from_slice(python, action);
        let progress: Progress =
            self.adapter.call_method1(python, "step", (array, render))?.extract(python)?;
        let episode = self.episode()?;
        episode.executed.extend_from_slice(action);
        episode.steps += 1;
        if let Some((request, writer)) = &episode.video
            && (progress.done || episode.steps % u32::from(request.every) == 0)
        {
            let writer = writer.clone_ref(python);
            let frame = self.adapter.call_method0(python, "frame")?;
            writer.call_method1(python, "add", (frame,))?;
        }
        let episode = self.episode()?;
        // Under a last-step success rule the last stage may be reached and lost again; a chunk is
        // cut only when another stage begins.
        let new_stage = (episode.stage + 1..episode.stages).contains(&progress.stage);
        episode.stage = progress.stage;
        if episode.steps == 1 && progress.stage > 0 {
            episode.solved_at_start.get_or_insert(AT_FIRST_STEP);
        }
        Ok(match progress {
            Progress { done: true, truncated, .. } => Some(End::Episode { truncated }),
            _ if new_stage => Some(End::Stage),
            _ => None,
        })
    }

    fn observe(&mut self, python: Python<'_>) -> PyResult<(Reply, Vec<u8>)> {
        let observation = self.adapter.call_method0(python, "observe")?.into_bound(python);
        let (images, mut body) = images(&observation)?;
        let state: PyReadonlyArray1<'_, f32> = observation.getattr("state")?.extract()?;
        body.extend(to_bytes(state.as_slice()?));
        let instruction = observation.getattr("instruction")?.extract()?;
        let episode = self.episode()?;
        Ok((
            Reply::Observed { stage: episode.stage, steps: episode.steps, instruction, images },
            body,
        ))
    }

    fn finish(&mut self, python: Python<'_>, truncated: bool) -> PyResult<(Reply, Vec<u8>)> {
        let (images, pixels) = match self.last_look {
            true => images(self.adapter.call_method0(python, "observe")?.bind(python))?,
            false => (vec![], vec![]),
        };
        let final_state_sha256 = self.state_sha256(python)?;
        let mut notes = self.notes(python)?;
        let episode = self.episode.take().ok_or_else(|| value_error("no episode"))?;
        notes.extend(episode.solved_at_start.map(|name| (name.to_owned(), true.into())));
        let video = episode.end_video(python, truncated)?;
        let reply = Reply::Finished {
            stages_completed: episode.stage,
            steps: episode.steps,
            truncated,
            final_state_sha256,
            video,
            notes,
            images,
        };
        Ok((reply, [to_bytes(&episode.executed), pixels].concat()))
    }

    /// SHA-256 (hex) of the simulator's state.
    pub(crate) fn state_sha256(&self, python: Python<'_>) -> PyResult<String> {
        let state = self.adapter.call_method0(python, "state_bytes")?;
        let state: &Bound<'_, PyBytes> = state.bind(python).cast()?;
        Ok(hex(&Sha256::digest(state.as_bytes())))
    }

    /// Whether the first stage's goal holds; false if the adapter cannot tell.
    fn solved(&self, python: Python<'_>) -> PyResult<bool> {
        let adapter = self.adapter.bind(python);
        if !adapter.hasattr("solved")? {
            return Ok(false);
        }
        let solved: Option<bool> = adapter.call_method0("solved")?.extract()?;
        Ok(solved.unwrap_or(false))
    }

    /// The adapter's notes on the episode; empty if it has no such method.
    fn notes(&self, python: Python<'_>) -> PyResult<Notes> {
        let adapter = self.adapter.bind(python);
        if !adapter.hasattr("notes")? {
            return Ok(Notes::new());
        }
        let notes: BTreeMap<String, Bound<'_, PyAny>> = adapter.call_method0("notes")?.extract()?;
        let note = |(name, value): (String, Bound<'_, PyAny>)| {
            // A Python bool is an int as well.
            let value = match value.cast::<PyBool>() {
                Ok(boolean) => boolean.is_true().into(),
                Err(_) => value.extract::<i64>()?.into(),
            };
            Ok((name, value))
        };
        notes.into_iter().map(note).collect()
    }

    pub(crate) fn abort_video(&mut self, python: Python<'_>) -> PyResult<()> {
        match self.episode.take().and_then(|episode| episode.video) {
            Some((_, writer)) => writer.call_method0(python, "abort").map(drop),
            None => Ok(()),
        }
    }

    pub(crate) fn episode(&mut self) -> PyResult<&mut Episode> {
        self.episode.as_mut().ok_or_else(|| value_error("no episode: reset comes first"))
    }
}

/// The next action of the adapter's scripted expert.
pub(crate) fn script_action(adapter: &Py<PyAny>, python: Python<'_>) -> PyResult<Vec<f32>> {
    let action = adapter.call_method0(python, "script_action")?;
    let action: PyReadonlyArray1<'_, f32> = action.extract(python)?;
    Ok(action.as_slice()?.to_vec())
}

pub(crate) fn value_error(message: impl ToString) -> PyErr {
    PyValueError::new_err(message.to_string())
}

/// Sizes (height, width) of images, and their bytes concatenated.
pub(crate) type Images = (Vec<(u32, u32)>, Vec<u8>);

/// The images of an observation.
pub(crate) fn images(observation: &Bound<'_, PyAny>) -> PyResult<Images> {
    let (mut sizes, mut bytes) = (vec![], vec![]);
    for image in observation.getattr("images")?.try_iter()? {
        let image: PyReadonlyArray3<'_, u8> = image?.extract()?;
        let &[height, width, 3] = image.shape() else {
            return Err(value_error(format!("an image of shape {:?}", image.shape())));
        };
        sizes.push((height as u32, width as u32));
        bytes.extend_from_slice(image.as_slice()?);
    }
    Ok((sizes, bytes))
}

/// What ended with a control step.
pub(crate) enum End {
    Stage,
    Episode { truncated: bool },
}
