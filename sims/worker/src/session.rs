//! One adapter and the episode that it is in.

use std::collections::BTreeMap;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes};
use sha2::{Digest, Sha256};
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::hex;
use udvla_sims::wire::{OpenConfig, Reply, VideoRequest, from_bytes, to_bytes};

/// An adapter and the episode that it plays.
pub struct Session {
    adapter: Py<PyAny>,
    width: usize,
    control_hz: f32,
    images: bool,
    /// Stages per episode of each suite.
    stages: BTreeMap<String, u16>,
    last_look: bool,
    episode: Option<Episode>,
}

/// What is remembered of a running episode.
struct Episode {
    stage: u16,
    stages: u16,
    executed: Vec<f32>,
    steps: u32,
    video: Option<(VideoRequest, Py<PyAny>)>,
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
    /// Loads `udvla_sims.<benchmark>` and makes its adapter.
    pub fn open(
        python: Python<'_>,
        config: &OpenConfig,
    ) -> PyResult<(Self, SimSpec, BTreeMap<String, String>)> {
        let protocol = serde_json::to_string(&config.protocol)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
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
        let suites = config.protocol.suites.iter();
        let session = Self {
            adapter: adapter.unbind(),
            width: sim.action.len(),
            control_hz: spec.control_hz,
            images: config.images,
            stages: suites.map(|suite| (suite.name.clone(), suite.stages)).collect(),
            last_look: config.images && config.last_look,
            episode: None,
        };
        Ok((session, sim, spec.setting))
    }

    /// Brings an episode's initial state and shows it.
    pub fn reset(
        &mut self,
        python: Python<'_>,
        key: &EpisodeKey,
        video: Option<VideoRequest>,
    ) -> PyResult<(Reply, Vec<u8>)> {
        self.abort_video(python)?;
        self.adapter.call_method1(python, "reset", (&key.suite, key.task, key.trial))?;
        let stages = self.stages.get(&key.suite).copied().unwrap_or(1);
        let mut episode = Episode { stage: 0, stages, executed: vec![], steps: 0, video: None };
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

    /// Plays the actions of a chunk.
    pub fn play(
        &mut self,
        python: Python<'_>,
        width: usize,
        body: &[u8],
    ) -> PyResult<(Reply, Vec<u8>)> {
        let values = from_bytes(body).filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| PyValueError::new_err("a chunk without actions"))?;
        if width != self.width || values.len() % width != 0 {
            return Err(PyValueError::new_err(format!(
                "a chunk of {} numbers, {width} per action; this simulator takes {}",
                values.len(),
                self.width
            )));
        }
        let actions: Vec<&[f32]> = values.chunks_exact(width).collect();
        for (index, action) in actions.iter().enumerate() {
            let look = self.last_look || self.images && index + 1 == actions.len();
            if let Some(end) = self.step(python, action, look)? {
                return end.reply(self, python);
            }
        }
        self.observe(python)
    }

    /// Lets the scripted expert play.
    pub fn script(&mut self, python: Python<'_>, steps: u16) -> PyResult<(Reply, Vec<u8>)> {
        for index in 0..steps {
            let action = self.adapter.call_method0(python, "script_action")?;
            let action: PyReadonlyArray1<'_, f32> = action.extract(python)?;
            let action = action.as_slice()?.to_vec();
            let look = self.last_look || self.images && index + 1 == steps;
            if let Some(end) = self.step(python, &action, look)? {
                return end.reply(self, python);
            }
        }
        self.observe(python)
    }

    /// Frees the simulator.
    pub fn close(mut self, python: Python<'_>) -> PyResult<()> {
        self.abort_video(python)?;
        self.adapter.call_method0(python, "close").map(drop)
    }

    /// One control step; `Some` when a stage or the episode ended with it.
    fn step(&mut self, python: Python<'_>, action: &[f32], look: bool) -> PyResult<Option<End>> {
        let array = PyArray1::from_slice(python, action);
        let progress: Progress =
            self.adapter.call_method1(python, "step", (array, look))?.extract(python)?;
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
        // Where success is what holds at the last step, the last stage comes and goes; a chunk is
        // cut only where another stage begins.
        let new_stage = (episode.stage + 1..episode.stages).contains(&progress.stage);
        episode.stage = progress.stage;
        Ok(match progress {
            Progress { done: true, truncated, .. } => Some(End::Episode { truncated }),
            _ if new_stage => Some(End::Stage),
            _ => None,
        })
    }

    fn observe(&mut self, python: Python<'_>) -> PyResult<(Reply, Vec<u8>)> {
        let observation = self.adapter.call_method0(python, "observe")?.into_bound(python);
        let (images, mut body) = pictures(&observation)?;
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
        let (images, pictures) = match self.last_look {
            true => pictures(self.adapter.call_method0(python, "observe")?.bind(python))?,
            false => (vec![], vec![]),
        };
        let state = self.adapter.call_method0(python, "state_bytes")?;
        let state: &Bound<'_, PyBytes> = state.bind(python).cast()?;
        let final_state_sha256 = hex(&Sha256::digest(state.as_bytes()));
        let notes = self.notes(python)?;
        let episode = self.episode.take().ok_or_else(|| PyValueError::new_err("no episode"))?;
        let video = match &episode.video {
            Some((request, writer)) if truncated || !request.failures_only => {
                writer.call_method0(python, "finish")?;
                true
            }
            Some((_, writer)) => {
                writer.call_method0(python, "abort")?;
                false
            }
            None => false,
        };
        let reply = Reply::Finished {
            stages_completed: episode.stage,
            steps: episode.steps,
            truncated,
            final_state_sha256,
            video,
            notes,
            images,
        };
        Ok((reply, [to_bytes(&episode.executed), pictures].concat()))
    }

    /// What the adapter noted of the episode; nothing where it has no such method.
    fn notes(&self, python: Python<'_>) -> PyResult<Notes> {
        let adapter = self.adapter.bind(python);
        if !adapter.hasattr("notes")? {
            return Ok(Notes::new());
        }
        let notes: BTreeMap<String, Bound<'_, PyAny>> = adapter.call_method0("notes")?.extract()?;
        let note = |(name, value): (String, Bound<'_, PyAny>)| {
            // A Python bool is an int as well.
            let value = match value.cast::<PyBool>() {
                Ok(claim) => claim.is_true().into(),
                Err(_) => value.extract::<i64>()?.into(),
            };
            Ok((name, value))
        };
        notes.into_iter().map(note).collect()
    }

    fn abort_video(&mut self, python: Python<'_>) -> PyResult<()> {
        match self.episode.take().and_then(|episode| episode.video) {
            Some((_, writer)) => writer.call_method0(python, "abort").map(drop),
            None => Ok(()),
        }
    }

    fn episode(&mut self) -> PyResult<&mut Episode> {
        self.episode.as_mut().ok_or_else(|| PyValueError::new_err("no episode: reset comes first"))
    }
}

/// The sizes (height, width) of pictures, and their bytes one behind the other.
type Pictures = (Vec<(u32, u32)>, Vec<u8>);

/// The pictures of an observation.
fn pictures(observation: &Bound<'_, PyAny>) -> PyResult<Pictures> {
    let (mut sizes, mut bytes) = (vec![], vec![]);
    for image in observation.getattr("images")?.try_iter()? {
        let image: PyReadonlyArray3<'_, u8> = image?.extract()?;
        let &[height, width, 3] = image.shape() else {
            return Err(PyValueError::new_err(format!("a picture of {:?}", image.shape())));
        };
        sizes.push((height as u32, width as u32));
        bytes.extend_from_slice(image.as_slice()?);
    }
    Ok((sizes, bytes))
}

/// What a control step brought to an end.
enum End {
    Stage,
    Episode { truncated: bool },
}

impl End {
    fn reply(self, session: &mut Session, python: Python<'_>) -> PyResult<(Reply, Vec<u8>)> {
        match self {
            Self::Stage => session.observe(python),
            Self::Episode { truncated } => session.finish(python, truncated),
        }
    }
}
