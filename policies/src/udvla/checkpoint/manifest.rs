//! The manifest `checkpoint.json`: paths of a checkpoint's parts, and settings per benchmark.
//!
//! Format: `docs/checkpoint.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attention::Attention;
use super::benchmarks;
use super::error::CheckpointError;
use super::files::read_text;
use super::layout::Layout;
use super::target::Target;
use crate::normalize::{GripperRule, Rotation};

/// File name of the manifest.
pub const MANIFEST: &str = "checkpoint.json";
/// Version of the format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// Contents of a checkpoint. Paths are absolute or relative to the manifest's directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version.
    pub format: u32,
    /// Display name; not part of the digest.
    pub name: String,
    /// Whether the weights are made up, for trials: simple shapes may then stand in for a
    /// simulator's files. Not part of the digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
    /// Folder of the language model: `config.json` and weight files.
    pub model: PathBuf,
    /// Attention mask that the weights were trained with; overrides the model's mask flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// What the generated images show.
    pub target: Target,
    /// Files of the text tokenizer.
    pub text: TextFiles,
    /// Folder of the vision tokenizer: `config.json` and weight files.
    pub vision: PathBuf,
    /// Settings by benchmark name.
    pub benchmarks: BTreeMap<String, Benchmark>,
}

/// Files of the text tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFiles {
    /// Byte strings with their ranks (`emu3.tiktoken`).
    pub ranks: PathBuf,
    /// Names of the image tokens, one per line (`emu3_vision_tokens.txt`); defaults to the
    /// published names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_tokens: Option<PathBuf>,
}

/// Settings and files for one benchmark. Missing settings default to the published ones of the
/// entry's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Images, action slots and chunk size.
    pub layout: Layout,
    /// Folder of the FAST tokenizer: `tokenizer.json` and `processor_config.json`.
    pub fast: PathBuf,
    /// Range of each action dimension.
    pub norm_stats: NormFile,
    /// How the last number of an action becomes a gripper command.
    pub gripper: GripperRule,
    /// Meaning of numbers 3, 4 and 5 of an action.
    pub rotation: Rotation,
    /// Default number of denoising steps.
    pub denoise_steps: u16,
    /// Default temperature of the paper's sampler, which is then the default sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// An entry of a file of normalisation statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormFile {
    /// Path of `norm_stats.json`.
    pub file: PathBuf,
    /// Name of the entry in that file.
    pub name: String,
}

impl Manifest {
    /// Reads the manifest of the checkpoint directory `dir`.
    ///
    /// # Errors
    /// A missing directory or manifest, an invalid manifest, another format version, an unusable
    /// layout.
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

    /// Parses a manifest; `file` is its path, for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self, CheckpointError> {
        /// The key that every version has.
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
        let version = Versioned::deserialize(&value).map_err(json)?.format;
        if version != FORMAT {
            let file = file.to_owned();
            return Err(CheckpointError::Format { file, version, supported: FORMAT });
        }
        benchmarks::fill_defaults(&mut value);
        // Only parsing from text yields a line number; use it where both parses fail alike.
        let with_line = |error: serde_json::Error| {
            let other = serde_json::from_str::<Self>(text).err();
            other.filter(|other| other.to_string().starts_with(&error.to_string())).unwrap_or(error)
        };
        let manifest = Self::deserialize(&value).map_err(|error| json(with_line(error)))?;
        match manifest.fault() {
            None => Ok(manifest),
            Some(reason) => Err(CheckpointError::Config { file: file.to_owned(), reason }),
        }
    }

    /// Settings for a benchmark; `file` is the manifest's path, for messages.
    ///
    /// # Errors
    /// A benchmark without settings.
    pub fn benchmark(&self, name: &str, file: &Path) -> Result<&Benchmark, CheckpointError> {
        self.benchmarks.get(name).ok_or_else(|| {
            let known: Vec<_> = self.benchmarks.keys().map(|key| format!("`{key}`")).collect();
            CheckpointError::Benchmark {
                file: file.to_owned(),
                name: name.to_owned(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            }
        })
    }

    /// The manifest without its name and paths, which may differ between copies of a checkpoint.
    pub fn without_paths(&self) -> Self {
        let mut bare = self.clone();
        bare.name.clear();
        bare.synthetic = false;
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
        let text = include_str!("../../../../docs/checkpoint.md");
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
        assert_eq!(calvin.layout.image_positions(), [636, 111]);
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
    fn two_places_of_one_checkpoint_look_alike_without_paths() {
        let here = parse(&documented()).unwrap();
        let there = parse(&documented().replace("/models/", "")).unwrap();
        assert_ne!(here, there);
        assert_eq!(here.without_paths(), there.without_paths());
        let changed = parse(&documented().replace("\"sign\"", "\"half\"")).unwrap();
        assert_ne!(here.without_paths(), changed.without_paths());
    }

    #[test]
    fn synthetic_is_written_only_where_it_is_true_and_leaves_the_digest_alone() {
        let trained = parse(&documented()).unwrap();
        assert!(!trained.synthetic);
        assert!(!serde_json::to_string(&trained).unwrap().contains("synthetic"));
        let text = documented().replacen("\"name\"", "\"synthetic\": true, \"name\"", 1);
        let made_up = parse(&text).unwrap();
        assert!(made_up.synthetic);
        assert_eq!(made_up.without_paths(), trained.without_paths());
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
        assert!(
            matches!(error, CheckpointError::Format { version: 2, supported: 1, .. }),
            "{error:?}"
        );
    }
}
