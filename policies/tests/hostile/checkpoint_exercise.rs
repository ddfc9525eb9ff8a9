//! Everything that is done with a checkpoint's manifest, configuration and weight files, for files
//! that nobody wrote. The property tests and the fuzz target both call it.

use std::path::Path;

use tch::{Device, Kind};
use udvla_policies::udvla::checkpoint::{Manifest, ModelConfig, Placement, SINGLE, Weights};

/// Parses a text as the manifest and as the model's configuration.
pub fn settings(text: &str) {
    let file = Path::new("file.json");
    if let Err(error) = Manifest::parse(text, file) {
        assert!(error.to_string().contains("file.json"), "{error}");
    }
    match ModelConfig::parse(text, file) {
        Ok(config) => assert!(config.head_size() > 0),
        Err(error) => assert!(error.to_string().contains("file.json"), "{error}"),
    }
}

/// Opens a weight file and loads what it claims to hold. How many tensors were loaded.
pub fn weights(folder: &Path, bytes: &[u8]) -> usize {
    std::fs::write(folder.join(SINGLE), bytes).expect("a temporary folder can be written to");
    let weights = match Weights::open(folder) {
        Ok(weights) => weights,
        Err(error) => {
            assert!(error.to_string().contains(SINGLE), "{error}");
            return 0;
        }
    };
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    let load = |name: &str, shape: &[i64]| weights.tensor(name, shape, placement);
    weights.stored().filter(|stored| load(stored.name, &stored.shape).is_ok()).count()
}
