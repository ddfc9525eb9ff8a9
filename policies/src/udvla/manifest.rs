//! `checkpoint.json`: where the parts of a checkpoint lie and how each benchmark uses them.
//!
//! The format is described in `docs/checkpoint.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attention::Attention;
use super::error::CheckpointError;
use super::files::read_text;
use super::layouts;
use super::prompt::{Layout, Target};
use crate::normalize::GripperRule;

/// The manifest's name within a checkpoint directory.
pub const MANIFEST: &str = "checkpoint.json";
/// The version of the manifest's format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// What a checkpoint consists of. Paths are relative to the manifest's directory, or absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// A name for people; not part of the digest.
    pub name: String,
    /// Folder of the language model: `config.json` and weight files.
    pub model: PathBuf,
    /// The attention that the weights were trained with, when the model's mask flags do not say
    /// it; wins over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// What the generated views show.
    pub target: Target,
    /// Files of the text tokenizer.
    pub text: Text,
    /// Folder of the vision tokenizer: `config.json` and weight files.
    pub vision: PathBuf,
    /// What the checkpoint is meant for, by the benchmark's name.
    pub benchmarks: BTreeMap<String, Benchmark>,
}

/// Files of the text tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Byte strings with their ranks (`emu3.tiktoken`).
    pub ranks: PathBuf,
    /// Names of the image tokens, one a line (`emu3_vision_tokens.txt`); absent means the
    /// published names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_tokens: Option<PathBuf>,
}

/// How one benchmark uses the checkpoint. What a manifest leaves out is what [`layouts`] has for
/// the entry's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// What is shown and what is generated.
    pub layout: Layout,
    /// Folder of the FAST tokenizer: `tokenizer.json` and `processor_config.json`.
    pub fast: PathBuf,
    /// The range of each action dimension.
    pub norm_stats: NormFile,
    /// What the last number of an action becomes.
    pub gripper: GripperRule,
    /// What numbers 3, 4 and 5 of an action are.
    pub rotation: Rotation,
    /// Denoising steps when nothing else is asked for.
    pub denoise_steps: u16,
}

/// An entry of a file of normalisation statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormFile {
    /// The file (`norm_stats.json`).
    pub file: PathBuf,
    /// The entry's name in it.
    pub name: String,
}

/// What the model's rotation numbers are, and so what happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// The simulator's own units; they stay as they are.
    AsIs,
    /// Roll, pitch, yaw; they become a rotation vector.
    EulerToAxisAngle,
}

impl Manifest {
    /// Reads the manifest of the checkpoint directory `dir`.
    ///
    /// # Errors
    /// A missing directory or manifest, text that is not a manifest, another format version, a
    /// layout that makes no sense.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        if !dir.is_dir() {
            let what = "checkpoint directory";
            return Err(CheckpointError::MissingDirectory { what, dir: dir.to_owned() });
        }
        let file = dir.join(MANIFEST);
        if !file.exists() {
            return Err(CheckpointError::MissingFile { what: "checkpoint manifest", file });
        }
        Self::parse(&read_text(&file)?, &file)
    }

    /// Reads a manifest from its text; `file` is its path, for messages.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, CheckpointError> {
        /// What every version of the format has.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let json = |source| CheckpointError::Json {
            what: "checkpoint manifest",
            file: file.to_owned(),
            source,
        };
        let mut value: Value = serde_json::from_str(text).map_err(json)?;
        let found = Versioned::deserialize(&value).map_err(json)?.format;
        if found != FORMAT {
            let file = file.to_owned();
            return Err(CheckpointError::Format { file, found, known: FORMAT });
        }
        layouts::fill(&mut value);
        // Where both fail alike, only the text knows the line.
        let placed = |error: serde_json::Error| {
            let other = serde_json::from_str::<Self>(text).err();
            other.filter(|other| other.to_string().starts_with(&error.to_string())).unwrap_or(error)
        };
        let manifest = Self::deserialize(&value).map_err(|error| json(placed(error)))?;
        match manifest.fault() {
            None => Ok(manifest),
            Some(reason) => Err(CheckpointError::Config { file: file.to_owned(), reason }),
        }
    }

    /// The settings for a benchmark; `file` is the manifest's path, for messages.
    ///
    /// # Errors
    /// A benchmark that the checkpoint has no settings for.
    pub fn benchmark(&self, name: &str, file: &Path) -> Result<&Benchmark, CheckpointError> {
        self.benchmarks.get(name).ok_or_else(|| {
            let known: Vec<_> = self.benchmarks.keys().map(|key| format!("`{key}`")).collect();
            CheckpointError::Benchmark {
                file: file.to_owned(),
                wanted: name.to_owned(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            }
        })
    }

    /// The manifest without what may differ between two places that hold the same checkpoint:
    /// its name and its paths.
    pub fn without_places(&self) -> Self {
        let mut bare = self.clone();
        bare.name.clear();
        bare.model.clear();
        bare.vision.clear();
        bare.text.ranks.clear();
        bare.text.vision_tokens = bare.text.vision_tokens.map(|_| PathBuf::new());
        for benchmark in bare.benchmarks.values_mut() {
            benchmark.fast.clear();
            benchmark.norm_stats.file.clear();
        }
        bare
    }

    fn fault(&self) -> Option<String> {
        self.benchmarks.iter().find_map(|(name, benchmark)| {
            let width = benchmark.layout.action_width;
            let reason = match benchmark.layout.fault() {
                Some(reason) => reason,
                None if benchmark.denoise_steps == 0 => "`denoise_steps` is 0".into(),
                None if benchmark.rotation == Rotation::EulerToAxisAngle && width < 7 => {
                    format!("actions of {width} numbers have no rotation to turn")
                }
                None => return None,
            };
            Some(format!("benchmark `{name}`: {reason}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest that the documentation shows.
    fn documented() -> String {
        let text = include_str!("../../../docs/checkpoint.md");
        let (_, from) = text.split_once("```json\n").expect("the page shows a manifest");
        from.split_once("```").expect("the block ends").0.to_owned()
    }

    fn parse(text: &str) -> Result<Manifest, CheckpointError> {
        Manifest::parse(text, Path::new("checkpoint.json"))
    }

    #[test]
    fn the_documented_manifest_is_one() {
        let manifest = parse(&documented()).unwrap();
        assert_eq!(manifest.attention, Some(Attention::Released));
        let calvin = manifest.benchmark("calvin", Path::new("checkpoint.json")).unwrap();
        assert_eq!(calvin.layout.view_positions(), [636, 111]);
        let written = serde_json::to_string(&manifest).unwrap();
        assert_eq!(parse(&written).unwrap(), manifest);
    }

    #[test]
    fn settings_that_are_left_out_are_the_published_ones_of_the_benchmark() {
        let whole = parse(&documented()).unwrap();
        let mut value: Value = serde_json::from_str(&documented()).unwrap();
        let calvin = value["benchmarks"]["calvin"].as_object_mut().unwrap();
        calvin.retain(|key, _| ["fast", "norm_stats"].contains(&key.as_str()));
        assert_eq!(parse(&value.to_string()).unwrap(), whole);
        // Nothing is known of a benchmark of the user's own.
        let renamed = value.to_string().replace("\"calvin\"", "\"mine\"");
        let error = parse(&renamed).unwrap_err();
        assert!(matches!(error, CheckpointError::Json { .. }), "{error:?}");
    }

    #[test]
    fn two_places_of_one_checkpoint_look_alike_without_places() {
        let here = parse(&documented()).unwrap();
        let there = parse(&documented().replace("/models/", "")).unwrap();
        assert_ne!(here, there);
        assert_eq!(here.without_places(), there.without_places());
        let changed = parse(&documented().replace("\"sign\"", "\"half\"")).unwrap();
        assert_ne!(here.without_places(), changed.without_places());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_benchmark() {
        let turned = documented().replace("as-is", "euler-to-axis-angle");
        for (text, wanted) in [
            (documented().replace("_steps\": 72", "_steps\": 0"), "`denoise_steps` is 0"),
            (documented().replace("*0125", "*012"), "size text `1*25*25`"),
            (turned.replace("width\": 7", "width\": 2"), "no rotation to turn"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("`calvin`") && error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn another_format_is_refused_before_its_keys_are_read() {
        let error = parse(r#"{"format": 2, "parts": []}"#).unwrap_err();
        assert!(matches!(error, CheckpointError::Format { found: 2, known: 1, .. }), "{error:?}");
    }
}
