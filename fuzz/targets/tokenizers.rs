//! The tokenizers' files and the ranges of actions on what libFuzzer thinks of: two files with a
//! line of `---` between them.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../policies/tests/hostile/exercise.rs"]
mod exercise;

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir_in("/dev/shm").expect("a folder");
}

fuzz_target!(|data: &[u8]| {
    let cut = data.windows(5).position(|window| window == b"\n---\n").unwrap_or(data.len());
    let (first, second) = (&data[..cut], data.get(cut + 5..).unwrap_or_default());
    let ids: Vec<i64> = second.iter().map(|byte| i64::from(*byte)).collect();
    FOLDER.with(|folder| {
        exercise::fast(folder.path(), first, second, &ids);
        exercise::text(folder.path(), first, Some(second), &String::from_utf8_lossy(second));
        exercise::text(folder.path(), first, None, &String::from_utf8_lossy(second));
        exercise::statistics(folder.path(), first);
    });
});
