//! The Vulkan driver that SimplerEnv's workers render with, as environment variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use crate::environment;
use crate::exit::Refused;

/// Where drivers install their manifests.
const MANIFEST_FOLDERS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
const LAYER_MANIFEST: &str = include_str!("../../sims/vulkan-layer/manifest.json");

/// What renders the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Renderer {
    /// The graphics card where an NVIDIA driver is installed, else the processor
    Auto,
    /// The graphics card
    Gpu,
    /// The processor, by Mesa's lavapipe from version 25 on
    Lavapipe,
}

/// A chosen driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Driver {
    /// Value for the adapter: `auto` only if no driver was found.
    pub renderer: Renderer,
    /// The worker's environment variables.
    pub variables: BTreeMap<String, String>,
    /// Lavapipe's variables, for a worker that finds in a probe that the card's driver, chosen by
    /// `auto`, does not render.
    pub otherwise: Option<BTreeMap<String, String>>,
}

/// The driver for a renderer; `auto` prefers the GPU's to lavapipe.
///
/// `auto` without any driver is not an error yet: a policy without vision needs none.
///
/// # Errors
/// [`Refused`] when lavapipe was requested and is not installed, or when `VK_ICD_FILENAMES` or
/// `VK_DRIVER_FILES` names a missing file.
pub fn choose(requested: Renderer) -> Result<Driver> {
    let (nvidia, lavapipe) = (nvidia(), lavapipe()?);
    let renderer = match requested {
        Renderer::Auto if nvidia.is_some() => Renderer::Gpu,
        Renderer::Auto if lavapipe.is_some() => Renderer::Lavapipe,
        _ => requested,
    };
    let otherwise = match (requested, renderer, &lavapipe) {
        (Renderer::Auto, Renderer::Gpu, Some(manifest)) => Some(lavapipe_variables(manifest)?),
        _ => None,
    };
    let variables = match renderer {
        Renderer::Auto => BTreeMap::new(),
        Renderer::Gpu => gpu_variables(nvidia.as_deref())?,
        Renderer::Lavapipe => lavapipe_variables(&lavapipe.ok_or_else(|| {
            Refused::new("there is no lavapipe of Mesa 25 or later")
                .hint(environment::lavapipe_script())
        })?)?,
    };
    Ok(Driver { renderer, variables, otherwise })
}

/// Manifest of a lavapipe that SAPIEN can render with: the one that `scripts/lavapipe` installed,
/// else the system's if it is of Mesa 25 or later.
///
/// # Errors
/// When the data folder is not known.
pub fn lavapipe() -> Result<Option<PathBuf>> {
    let ours = environment::home()?.join("drivers/lavapipe/lvp_icd.json");
    let system = || manifests("lvp_icd").into_iter().find(|path| has_vulkan_1_4(path));
    Ok(if ours.exists() { Some(ours) } else { system() })
}

/// Manifest of NVIDIA's driver, if the driver is running.
pub fn nvidia() -> Option<PathBuf> {
    let running = Path::new("/proc/driver/nvidia/version").exists();
    manifests("nvidia_icd").into_iter().find(|_| running)
}

/// Whether a manifest is of Mesa 25 or later, whose lavapipe is the first with Vulkan 1.4.
fn has_vulkan_1_4(manifest: &Path) -> bool {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let version = json["ICD"]["api_version"].as_str().unwrap_or_default();
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts >= vec![1, 4]
}

/// Manifests whose names start with `prefix`.
fn manifests(prefix: &str) -> BTreeSet<PathBuf> {
    let folders = MANIFEST_FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let paths = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.filter(|path| name(path).starts_with(prefix) && name(path).ends_with(".json")).collect()
}

fn lavapipe_variables(manifest: &Path) -> Result<BTreeMap<String, String>> {
    let mut layer: Value = serde_json::from_str(LAYER_MANIFEST).expect("a bundled JSON file");
    layer["layer"]["library_path"] =
        environment::beside("libudvla_vulkan_layer.so")?.to_string_lossy().into();
    let name = layer["layer"]["name"].as_str().expect("the bundled manifest has a name");
    let mut variables = driver_variables(manifest);
    variables.extend([
        ("VK_LAYER_PATH".into(), layer_folder(&layer)?.to_string_lossy().into_owned()),
        ("VK_INSTANCE_LAYERS".into(), name.into()),
        // The workers share the cores; more threads in each do not help.
        ("LP_NUM_THREADS".into(), "1".into()),
    ]);
    Ok(variables)
}

/// The user's own choice by variables, else NVIDIA's driver, else the loader's choice.
fn gpu_variables(nvidia: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|files| !files.is_empty());
    let Some(name) = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().find(set) else {
        return Ok(nvidia.map(driver_variables).unwrap_or_default());
    };
    let files = std::env::var_os(name).unwrap_or_default();
    if let Some(missing) = std::env::split_paths(&files).find(|path| !path.exists()) {
        let message = format!("`{name}` names `{}`, which is not there", missing.display());
        let folders = MANIFEST_FOLDERS.join(", ");
        let hint = format!("unset {name}: drivers are then searched in {folders}");
        return Err(Refused::new(message).hint(hint).into());
    }
    // Workers see no Vulkan variable of the shell but this one.
    let absolute = std::env::split_paths(&files).map(std::path::absolute);
    let files = std::env::join_paths(absolute.collect::<std::io::Result<Vec<_>>>()?)?;
    Ok(driver_variables(Path::new(&files)))
}

/// Both names, old and new, of the variable that selects the loader's only driver.
fn driver_variables(manifest: &Path) -> BTreeMap<String, String> {
    let path = manifest.to_string_lossy();
    ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"].map(|name| (name.into(), path.clone().into())).into()
}

/// The folder that holds the layer's manifest and nothing else, named by its content.
fn layer_folder(manifest: &Value) -> Result<PathBuf> {
    let text = format!("{manifest:#}\n");
    let hash = hex(&Sha256::digest(text.as_bytes()));
    let folder = environment::home()?.join("drivers").join(format!("layer-{}", &hash[..8]));
    let file = folder.join("layer.json");
    if !file.exists() {
        let part = folder.join(format!("layer-{}.part", std::process::id()));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&part, text))
            .and_then(|()| std::fs::rename(&part, &file))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lavapipe_of_vulkan_1_4_is_new_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lvp_icd.x86_64.json");
        for (text, new) in [
            (r#"{"ICD": {"api_version": "1.4.305", "library_path": "libvulkan_lvp.so"}}"#, true),
            (r#"{"ICD": {"api_version": "1.3.230", "library_path": "libvulkan_lvp.so"}}"#, false),
            (r#"{"ICD": {"library_path": "libvulkan_lvp.so"}}"#, false),
            ("no JSON", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(has_vulkan_1_4(&path), new, "{text}");
        }
        assert!(!has_vulkan_1_4(&folder.path().join("absent.json")));
    }
}
