//! The scripted expert plays with offsets added to its actions: what it wanted, what was executed,
//! and the observation after it.

use numpy::{PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use udvla_sims::checks::offset_action;
use udvla_sims::wire::{DemonstrationEnd, Reply, from_bytes, to_bytes};

use crate::session::{End, Session, images, script_action, value_error};

impl Session {
    /// Plays up to `steps` control steps of the expert, each with an offset of `width` numbers from
    /// the body; without steps, observes.
    pub fn demonstrate(
        &mut self,
        python: Python<'_>,
        steps: usize,
        width: usize,
        body: &[u8],
    ) -> PyResult<(Reply, Vec<u8>)> {
        let offsets = self.offsets(steps, width, body)?;
        let signs = self.protocol.environment.action_signs().map_err(value_error)?;
        let (mut labels, mut executed, mut end) = (vec![], vec![], None);
        let can_look_again = self.adapter.bind(python).hasattr("look_again")?;
        for (index, offset) in offsets.chunks_exact(width).enumerate() {
            let label = script_action(&self.adapter, python)?;
            if label.len() != width {
                return Err(value_error(format!("an expert's action of {} numbers", label.len())));
            }
            let action: Vec<f32> = (0..width)
                .map(|index| offset_action(label[index], offset[index], signs.contains(&index)))
                .collect();
            // Any step may be the last one, whose images are needed.
            let look = self.images && (index + 1 == steps || !can_look_again);
            let ended = self.step(python, &action, look)?;
            if self.images && !look && ended.is_some() {
                self.adapter.call_method0(python, "look_again")?;
            }
            labels.extend(label);
            executed.extend(action);
            match ended {
                Some(End::Stage) => break,
                Some(End::Episode { truncated }) => {
                    let final_state_sha256 = self.state_sha256(python)?;
                    end = Some(DemonstrationEnd { truncated, final_state_sha256 });
                    break;
                }
                None => {}
            }
        }
        let played = [to_bytes(&labels), to_bytes(&executed)].concat();
        self.demonstrated(python, played, end)
    }

    /// The offsets, if they are so many.
    fn offsets(&self, steps: usize, width: usize, body: &[u8]) -> PyResult<Vec<f32>> {
        let offsets = from_bytes(body).filter(|offsets| offsets.len() == steps * width);
        let offsets = offsets.ok_or_else(|| value_error("offsets of the wrong length"))?;
        match width == self.width && offsets.iter().all(|offset| offset.is_finite()) {
            true => Ok(offsets),
            false => Err(value_error(format!(
                "offsets of {width} numbers or not finite; this simulator takes {} per action",
                self.width
            ))),
        }
    }

    fn demonstrated(
        &mut self,
        python: Python<'_>,
        mut body: Vec<u8>,
        end: Option<DemonstrationEnd>,
    ) -> PyResult<(Reply, Vec<u8>)> {
        let observation = self.adapter.call_method0(python, "observe")?.into_bound(python);
        let (images, pixels) = images(&observation)?;
        let state: PyReadonlyArray1<'_, f32> = observation.getattr("state")?.extract()?;
        body.extend(to_bytes(state.as_slice()?));
        let target = self.target(python)?;
        body.extend(to_bytes(target.as_slice().as_flattened()));
        body.extend(pixels);
        let instruction = observation.getattr("instruction")?.extract()?;
        let episode = self.episode()?;
        let (stage, steps) = (episode.stage, episode.steps);
        let target = target.is_some();
        if end.is_some() {
            self.abort_video(python)?;
        }
        Ok((Reply::Demonstrated { stage, steps, instruction, end, target, images }, body))
    }

    /// Position of the object to be moved, if the adapter offers it.
    fn target(&self, python: Python<'_>) -> PyResult<Option<[f32; 3]>> {
        let adapter = self.adapter.bind(python);
        if !adapter.hasattr("target")? {
            return Ok(None);
        }
        let target = adapter.call_method0("target")?;
        match target.is_none() {
            true => Ok(None),
            false => target.cast::<numpy::PyArray1<f32>>()?.to_vec()?.try_into().map(Some).map_err(
                |found: Vec<f32>| value_error(format!("a target of {} numbers", found.len())),
            ),
        }
    }
}
