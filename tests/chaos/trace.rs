//! What happened in a case, for its report.

use std::fmt;

use crate::kinds::Kind;

/// Faults that were delivered, and a line per event.
#[derive(Debug, Default)]
pub struct Trace {
    /// Every fault that really hit something.
    pub delivered: Vec<&'static Kind>,
    lines: Vec<String>,
}

impl Trace {
    /// Notes an event.
    pub fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Notes that a fault hit something.
    pub fn hit(&mut self, kind: &'static Kind, how: &str) {
        self.lines.push(format!("  {}: {how}", kind.name));
        self.delivered.push(kind);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
