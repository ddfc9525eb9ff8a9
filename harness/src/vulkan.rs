//! Which Vulkan driver SimplerEnv's workers draw with, and the variables that choose it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use crate::cli::SimplerRenderer;
use crate::environment;
use crate::exit::Refused;

/// Folders where drivers leave their manifests.
const MANIFESTS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
/// The name of the layer in `sims/vulkan-layer`.
const LAYER: &str = "VK_LAYER_UDVLA_optional_semaphore_fd";
/// The manifest of lavapipe in the folder that `udvla-eval setup simpler` makes.
pub const LAVAPIPE: &str = "lvp_icd.json";

/// What draws, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// What the adapter is told: `auto` only where no driver was found.
    pub renderer: SimplerRenderer,
    /// The worker's environment variables.
    pub variables: BTreeMap<String, String>,
}

/// The driver for a renderer: the graphics card's where an NVIDIA driver is there, else lavapipe.
///
/// Where `auto` finds neither, that is no error yet: a policy that does not look needs none.
///
/// # Errors
/// [`Refused`] when lavapipe was asked for and is not there, or when `VK_ICD_FILENAMES` names a
/// file that is not there.
pub fn choose(asked: SimplerRenderer) -> Result<Drawing> {
    let nvidia = nvidia();
    let renderer = match (asked, &nvidia) {
        (SimplerRenderer::Auto, Some(_)) => SimplerRenderer::Gpu,
        (SimplerRenderer::Auto, None) if lavapipe()?.is_some() => SimplerRenderer::Lavapipe,
        _ => asked,
    };
    let variables = match renderer {
        SimplerRenderer::Lavapipe => lavapipe_variables()?,
        SimplerRenderer::Gpu => gpu_variables(nvidia.as_deref())?,
        SimplerRenderer::Auto => BTreeMap::new(),
    };
    Ok(Drawing { renderer, variables })
}

/// The manifest of lavapipe that SAPIEN can draw with: the one that `setup` made, else the
/// system's where it is of Mesa 25 or later.
///
/// # Errors
/// When the folder for environments is not known.
pub fn lavapipe() -> Result<Option<PathBuf>> {
    let ours = lavapipe_folder()?.join(LAVAPIPE);
    if ours.exists() {
        return Ok(Some(ours));
    }
    Ok(manifests("lvp_icd").into_iter().find(|path| is_new(path)))
}

/// Where `setup` puts lavapipe.
///
/// # Errors
/// When the folder for environments is not known.
pub fn lavapipe_folder() -> Result<PathBuf> {
    Ok(environment::home()?.join("drivers/lavapipe"))
}

/// The manifest of NVIDIA's driver, where the driver runs.
pub fn nvidia() -> Option<PathBuf> {
    let runs = Path::new("/proc/driver/nvidia/version").exists();
    manifests("nvidia_icd").into_iter().find(|_| runs)
}

/// Whether the manifest is of Mesa 25 or later: lavapipe has Vulkan 1.4 from there on, and the
/// last one that is known to lack what SAPIEN needs (22.3) has 1.3.
fn is_new(manifest: &Path) -> bool {
    let version = || -> Option<(u32, u32)> {
        let text = std::fs::read_to_string(manifest).ok()?;
        let json: Value = serde_json::from_str(&text).ok()?;
        let mut parts = json["ICD"]["api_version"].as_str()?.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    version().is_some_and(|version| version >= (1, 4))
}

/// Manifests whose names begin so, in the order of their names.
fn manifests(prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = MANIFESTS
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".json")
        })
        .collect();
    found.sort();
    found
}

fn lavapipe_variables() -> Result<BTreeMap<String, String>> {
    let manifest = lavapipe()?.ok_or_else(|| {
        Refused::new("there is no lavapipe of Mesa 25 or later").hint("udvla-eval setup simpler")
    })?;
    let layer = layer_folder()?;
    let mut variables = driver(&manifest);
    variables.extend([
        ("VK_LAYER_PATH".into(), layer.to_string_lossy().into_owned()),
        ("VK_INSTANCE_LAYERS".into(), LAYER.into()),
        // The workers share the processor's cores; more threads in each gain nothing.
        ("LP_NUM_THREADS".into(), "1".into()),
    ]);
    Ok(variables)
}

/// What the user chose by variables stays; else NVIDIA's driver, or whatever the loader finds.
fn gpu_variables(nvidia: Option<&Path>) -> Result<BTreeMap<String, String>> {
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        let Some(files) = std::env::var_os(name).filter(|files| !files.is_empty()) else {
            continue;
        };
        if let Some(missing) = std::env::split_paths(&files).find(|path| !path.exists()) {
            let text = format!("`{name}` names `{}`, which is not there", missing.display());
            return Err(Refused::new(text)
                .hint(format!("unset {name}: drivers are looked for in {}", MANIFESTS.join(", ")))
                .into());
        }
        return Ok(BTreeMap::new());
    }
    Ok(nvidia.map(driver).unwrap_or_default())
}

/// Old and new name of the variable that names the loader's only driver.
fn driver(manifest: &Path) -> BTreeMap<String, String> {
    let path = manifest.to_string_lossy();
    ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"].map(|name| (name.into(), path.clone().into())).into()
}

/// The folder with the layer's manifest, which is written here: it names the library by a path
/// that only the running program knows.
fn layer_folder() -> Result<PathBuf> {
    let library = environment::beside("libudvla_vulkan_layer.so")?;
    let entry = "vkNegotiateLoaderLayerInterfaceVersion";
    let extension = json!({
        "name": "VK_KHR_external_semaphore_fd",
        "spec_version": "1",
        "entrypoints": ["vkGetSemaphoreFdKHR", "vkImportSemaphoreFdKHR"],
    });
    let manifest = json!({
        "file_format_version": "1.1.2",
        "layer": {
            "name": LAYER,
            "type": "GLOBAL",
            "library_path": library,
            "api_version": "1.4.0",
            "implementation_version": "1",
            "description": "Lets SAPIEN make a device that lacks VK_KHR_external_semaphore_fd",
            "functions": { (entry): entry },
            "device_extensions": [extension],
        },
    });
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
            assert_eq!(is_new(&path), new, "{text}");
        }
        assert!(!is_new(&folder.path().join("absent.json")));
    }
}
