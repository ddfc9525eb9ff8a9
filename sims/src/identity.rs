//! Subject and setting of a run: what was tested, and on which machine and software.
//!
//! Together with the [`Protocol`](crate::protocol::Protocol) they identify a run. Resuming and
//! merging need all three equal; comparing needs the protocol equal and lists the other
//! differences. In files both are flat maps of strings.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was tested: the policy and everything that may change its output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Subject {
    /// `udvla`, `expert`, `reader`, `random`, `idle`.
    pub policy: Option<String>,
    /// Seed of the sampling noise.
    pub seed: Option<u64>,
    /// Digest of the checkpoint, `sha256:…`.
    pub checkpoint: Option<String>,
    /// `jd3p`, `id`, `ar` or `jacobi`.
    pub decoding: Option<String>,
    /// Sampler of JD3P and independent diffusion: `released` or `paper`.
    pub sampler: Option<String>,
    /// Sampling temperature of the paper's sampler.
    pub temperature: Option<f64>,
    /// Denoising steps per action chunk.
    pub denoise_steps: Option<u16>,
    /// Denoising steps of independent diffusion's action stage.
    pub action_steps: Option<u16>,
    /// Tokens per block of Jacobi decoding.
    pub jacobi_stretch: Option<u16>,
    /// Iterations after which Jacobi decoding accepts a block as it is.
    pub jacobi_cap: Option<u16>,
    /// Attention mask: `released`, `hybrid`, `released-bidirectional` or `causal`.
    pub attention: Option<String>,
    /// What the generated images show: `future`, `current` or `null`.
    pub target: Option<String>,
    /// Layout of the checkpoint, where it is not the benchmark's default.
    pub layout: Option<String>,
    /// Control steps executed per action chunk.
    pub chunk: Option<u16>,
    /// Number format of the weights.
    pub dtype: Option<String>,
    /// Version of the noise generator.
    pub noise: Option<u32>,
    /// Name of an approximation that was switched on.
    pub approximate: Option<String>,
    /// A control: what the policy is told instead of the instruction: `blank`, `scrambled`, `task N`.
    pub instruction: Option<String>,
    /// A control: what it sees instead of the current observation: `frozen`, `other-trial`.
    pub observation: Option<String>,
    /// Facts this version has no field for, by name.
    pub other: BTreeMap<String, String>,
}

impl Subject {
    /// The controls of the run, for example `instruction blank`; `None` for a normal run.
    pub fn control(&self) -> Option<String> {
        let instruction = self.instruction.iter().map(|control| format!("instruction {control}"));
        let observation = self.observation.iter().map(|control| format!("observation {control}"));
        let controls: Vec<String> = instruction.chain(observation).collect();
        (!controls.is_empty()).then(|| controls.join(", "))
    }
}

impl From<Subject> for BTreeMap<String, String> {
    fn from(subject: Subject) -> Self {
        let mut map = subject.other;
        let mut put = |name: &str, value: Option<String>| {
            map.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("policy", subject.policy);
        put("seed", subject.seed.map(|value| value.to_string()));
        put("checkpoint", subject.checkpoint);
        put("decoding", subject.decoding);
        put("sampler", subject.sampler);
        put("temperature", subject.temperature.map(|value| value.to_string()));
        put("denoise_steps", subject.denoise_steps.map(|value| value.to_string()));
        put("action_steps", subject.action_steps.map(|value| value.to_string()));
        put("jacobi_stretch", subject.jacobi_stretch.map(|value| value.to_string()));
        put("jacobi_cap", subject.jacobi_cap.map(|value| value.to_string()));
        put("attention", subject.attention);
        put("target", subject.target);
        put("layout", subject.layout);
        put("chunk", subject.chunk.map(|value| value.to_string()));
        put("dtype", subject.dtype);
        put("noise", subject.noise.map(|value| value.to_string()));
        put("approximate", subject.approximate);
        put("instruction", subject.instruction);
        put("observation", subject.observation);
        map
    }
}

impl TryFrom<BTreeMap<String, String>> for Subject {
    type Error = String;

    fn try_from(mut map: BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self {
            policy: map.remove("policy"),
            seed: number(&mut map, "seed")?,
            checkpoint: map.remove("checkpoint"),
            decoding: map.remove("decoding"),
            sampler: map.remove("sampler"),
            temperature: number(&mut map, "temperature")?,
            denoise_steps: number(&mut map, "denoise_steps")?,
            action_steps: number(&mut map, "action_steps")?,
            jacobi_stretch: number(&mut map, "jacobi_stretch")?,
            jacobi_cap: number(&mut map, "jacobi_cap")?,
            attention: map.remove("attention"),
            target: map.remove("target"),
            layout: map.remove("layout"),
            chunk: number(&mut map, "chunk")?,
            dtype: map.remove("dtype"),
            noise: number(&mut map, "noise")?,
            approximate: map.remove("approximate"),
            instruction: map.remove("instruction"),
            observation: map.remove("observation"),
            other: map,
        })
    }
}

/// What should not change outcomes but may: devices, renderer, assets, versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Setting {
    /// Devices that run the policy.
    pub device: Option<String>,
    /// Version of libtorch.
    pub libtorch: Option<String>,
    /// Digest of the adapters' sources.
    pub adapters: Option<String>,
    /// How the worker runs Python: `embedded` or `interpreter`.
    pub embedding: Option<String>,
    /// What renders the images; `none` where nothing is rendered.
    pub renderer: Option<String>,
    /// Which assets the simulator loads.
    pub assets: Option<String>,
    /// Whether the outcomes compare with published ones; `no: REASON` where they do not.
    pub comparable: Option<String>,
    /// `fake` for the simulator of the tests.
    pub simulator: Option<String>,
    /// What else the worker reports, for example package versions, by name.
    pub other: BTreeMap<String, String>,
}

impl From<Setting> for BTreeMap<String, String> {
    fn from(setting: Setting) -> Self {
        let mut map = setting.other;
        let fields = [
            ("device", setting.device),
            ("libtorch", setting.libtorch),
            ("adapters", setting.adapters),
            ("embedding", setting.embedding),
            ("renderer", setting.renderer),
            ("assets", setting.assets),
            ("comparable", setting.comparable),
            ("simulator", setting.simulator),
        ];
        map.extend(fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
        map
    }
}

impl From<BTreeMap<String, String>> for Setting {
    fn from(mut map: BTreeMap<String, String>) -> Self {
        Self {
            device: map.remove("device"),
            libtorch: map.remove("libtorch"),
            adapters: map.remove("adapters"),
            embedding: map.remove("embedding"),
            renderer: map.remove("renderer"),
            assets: map.remove("assets"),
            comparable: map.remove("comparable"),
            simulator: map.remove("simulator"),
            other: map,
        }
    }
}

/// The number of that name. One that would print otherwise is refused, so that no stored value
/// changes by being read.
fn number<T: FromStr + Display>(
    map: &mut BTreeMap<String, String>,
    name: &str,
) -> Result<Option<T>, String> {
    let Some(text) = map.remove(name) else { return Ok(None) };
    match text.parse::<T>() {
        Ok(value) if value.to_string() == text => Ok(Some(value)),
        _ => Err(format!("`{name}` is `{text}`, which is not a valid number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_subject_survives_its_file_form_with_facts_it_does_not_know() {
        let stored = map(&[
            ("policy", "udvla"),
            ("seed", "7"),
            ("temperature", "0.25"),
            ("denoise_steps", "72"),
            ("server", "openpi"),
        ]);
        let subject = Subject::try_from(stored.clone()).unwrap();
        assert_eq!((subject.seed, subject.denoise_steps), (Some(7), Some(72)));
        assert_eq!(subject.other, map(&[("server", "openpi")]));
        assert_eq!(BTreeMap::from(subject), stored);
    }

    #[test]
    fn a_number_that_would_change_is_refused() {
        for text in ["eight", "08", "-1", "70000"] {
            let error = Subject::try_from(map(&[("denoise_steps", text)])).unwrap_err();
            assert!(error.contains("denoise_steps") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_setting_survives_its_file_form() {
        let stored = map(&[("renderer", "egl"), ("comparable", "no: x"), ("mujoco", "3.2.3")]);
        let setting = Setting::from(stored.clone());
        assert_eq!(setting.renderer.as_deref(), Some("egl"));
        assert_eq!(BTreeMap::from(setting), stored);
    }
}
