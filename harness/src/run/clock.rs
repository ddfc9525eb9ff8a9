//! Wall-clock time in stored files.

/// The current time, UTC, to the second: `2026-11-24T01:02:03Z`.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
