//! A checkpoint's manifest, configuration and weight file on what libFuzzer thinks of. Needs
//! libtorch: `--features torch`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../policies/tests/hostile/checkpoint_exercise.rs"]
mod exercise;

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir_in("/dev/shm").expect("a folder");
}

fuzz_target!(|data: &[u8]| {
    exercise::settings(&String::from_utf8_lossy(data));
    FOLDER.with(|folder| exercise::weights(folder.path(), data));
});
