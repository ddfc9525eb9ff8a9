//! The reader of run directories on what libFuzzer thinks of: the manifest, a line of `---`, the
//! records. The protocol's fingerprint is mended first, for a fuzzer finds no SHA-256.

#![no_main]

use libfuzzer_sys::fuzz_target;
use udvla_results::run::manifest::Manifest;

#[path = "../../results/tests/exercise.rs"]
mod exercise;

fuzz_target!(|data: &[u8]| {
    let cut = data.windows(5).position(|window| window == b"\n---\n").unwrap_or(data.len());
    let (manifest, records) = (&data[..cut], data.get(cut + 5..).unwrap_or_default());
    exercise::text(&String::from_utf8_lossy(manifest));
    match serde_json::from_slice::<Manifest>(manifest) {
        Err(_) => exercise::run_directory(manifest, records),
        Ok(mut forged) => {
            forged.protocol_fingerprint = forged.protocol.fingerprint();
            exercise::run_directory(&serde_json::to_vec(&forged).unwrap(), records)
        }
    };
});
