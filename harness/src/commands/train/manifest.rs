//! The manifest of a training: settings, data, machine, and how far each part is.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use udvla_policies::udvla::checkpoint::Checkpoint;
use udvla_policies::udvla::device;
use udvla_results::run::files::write_atomic;
use udvla_sims::protocol::hex;

use super::Training;
use crate::exit::Refused;
use crate::run::manifest::machine;

/// Its file.
const MANIFEST: &str = "training.json";

impl Training<'_> {
    /// The training's manifest, empty before the first state.
    fn manifest(&self) -> Value {
        let text = fs::read_to_string(self.file(MANIFEST)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_else(|_| json!({}))
    }

    /// SHA-256 of the checkpoint that the training starts from, or null.
    fn origin(&self) -> Result<Value> {
        Ok(self.from.as_ref().map(Checkpoint::digest).transpose()?.into())
    }

    /// Refuses to go on from another checkpoint than the one that the training was begun with.
    pub(super) fn check_origin(&self) -> Result<()> {
        if self.manifest()["from"] == self.origin()? {
            return Ok(());
        }
        let text = format!("`{}` was begun with another `--from`", self.arguments.out.display());
        Err(Refused::new(text).hint("repeat the first command, or choose another `--out`").into())
    }

    /// Writes how far a part is, with the seconds since `clock`, into the training's manifest.
    pub(super) fn note(&self, part: &str, steps: u64, clock: &mut Instant) -> Result<()> {
        let file = self.file(MANIFEST);
        let mut manifest = self.manifest();
        manifest["settings"] = serde_json::to_value(&self.config)?;
        manifest["seed"] = self.arguments.seed.into();
        manifest["data"] = self.data()?;
        manifest["from"] = self.origin()?;
        let mut machine = machine();
        // The folder is given away.
        machine.remove("host");
        manifest["machine"] = json!(machine);
        manifest["threads"] = self.threads().into();
        manifest["libtorch"] = device::libtorch_version().into();
        manifest["program"] =
            format!("{} {}", env!("CARGO_PKG_VERSION"), env!("UDVLA_COMMIT")).into();
        let seconds = manifest["parts"][part]["seconds"].as_f64().unwrap_or(0.0);
        let seconds = (seconds + clock.elapsed().as_secs_f64()).round();
        manifest["parts"][part] = json!({ "steps": steps, "seconds": seconds });
        *clock = Instant::now();
        write_atomic(&file, format!("{manifest:#}\n").as_bytes())
            .with_context(|| format!("cannot write `{}`", file.display()))
    }

    /// The collections, each with the SHA-256 of its description, which names every file.
    fn data(&self) -> Result<Value> {
        let folder = |folder: &PathBuf| {
            let file = folder.join("demonstrations.json");
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read `{}`", file.display()))?;
            let description: Value = serde_json::from_str(&text)
                .with_context(|| format!("`{}` is no JSON", file.display()))?;
            Ok(json!({
                "sha256": hex(&Sha256::digest(text.as_bytes())),
                "episodes": description["files"].as_array().map(Vec::len),
                "seed": description["seed"],
            }))
        };
        self.arguments.data.iter().map(folder).collect()
    }
}
