//! Name and memory of this machine, and sizes of folders.

use std::path::Path;

use anyhow::{Context, Result};

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs can still take.
    pub available: u64,
}

/// Memory as the kernel reports it; `None` where it does not.
pub fn memory() -> Option<Memory> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    };
    Some(Memory { total: bytes("MemTotal:")?, available: bytes("MemAvailable:")? })
}

/// The machine's name; none where the system has none.
pub fn host() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Bytes of the files in a folder, not of those below it.
///
/// # Errors
/// When it cannot be read.
pub fn size_of(folder: &Path) -> Result<u64> {
    let unreadable = || format!("cannot read `{}`", folder.display());
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let metadata = std::fs::metadata(entry.with_context(unreadable)?.path());
        bytes += metadata.map_or(0, |file| if file.is_file() { file.len() } else { 0 });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_or_not_at_all() {
        let text = "MemTotal:       16000 kB\nMemFree:  10 kB\nMemAvailable:    8000 kB\n";
        let memory = Memory { total: 16_384_000, available: 8_192_000 };
        assert_eq!(parse(text), Some(memory));
        assert_eq!(parse("MemTotal: 16000 kB\n"), None);
    }
}
