//! How the program ends: exit codes, and refusals with a hint.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use udvla_results::out::printable::printable;
use udvla_sims::process::SimError;

/// Exit codes. Runs that ended with 3, 4, 5 or 130 can be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done.
    Complete = 0,
    /// A fault of the program or of the machine, for example a full disk.
    Internal = 1,
    /// Wrong usage or set-up; nothing was run.
    Refused = 2,
    /// Stopped by the user; running episodes were finished first.
    Interrupted = 3,
    /// Finished, but some episodes could not be run.
    WithErrors = 4,
    /// Stopped after repeated failures.
    GaveUp = 5,
    /// A gate failed, a replay differs, or `audit --strict` has findings.
    GateFailed = 6,
    /// A gate needs more episodes.
    GateInconclusive = 7,
    /// Stopped at once by a second interrupt.
    Killed = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A request that cannot work: what is wrong, and what to type next.
#[derive(Debug)]
pub struct Refused {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Where it is a list: its entries.
    parts: Vec<Refused>,
}

impl Refused {
    /// Refuses with a message: lower case, no full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, source: None, parts: vec![] }
    }

    /// Everything that keeps a command from starting: one refusal as it is, more as a numbered
    /// list with the next step of each; `None` if there is none.
    pub fn all(refused: Vec<Self>) -> Option<Self> {
        let flat = |one: Self| if one.parts.is_empty() { vec![one] } else { one.parts };
        let mut parts: Vec<Self> = refused.into_iter().flat_map(flat).collect();
        if parts.len() < 2 {
            return parts.pop();
        }
        let mut message = format!("this cannot start yet, for {} reasons:", parts.len());
        for (number, part) in (1..).zip(&parts) {
            let text = causes(std::iter::successors(
                Some(part as &(dyn std::error::Error + 'static)),
                |error| error.source(),
            ));
            message += &format!("\n\n  {number}. {text}");
            if let Some(hint) = &part.hint {
                message += &format!("\n     hint: {hint}");
            }
        }
        Some(Self { parts, ..Self::new(message) })
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the next step, if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The next step, if one is known.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<&SimError> for Refused {
    /// What a worker reports as missing.
    fn from(error: &SimError) -> Self {
        match error {
            SimError::Raised { message, .. } => Self::new(message.clone()),
            SimError::Start { source, .. } => {
                Self::new(error.to_string()).because(source.to_string())
            }
            other => Self::new(other.to_string()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// An error with its causes in one text, and its hint.
pub fn texts(error: &anyhow::Error) -> (String, Option<String>) {
    let hint = error.downcast_ref::<Refused>().and_then(Refused::next_step);
    (chain(error), hint.map(str::to_owned))
}

/// Prints an error with its causes and hint on stderr, and returns the exit code for it.
pub fn report(error: &anyhow::Error) -> Exit {
    let refused = error.downcast_ref::<Refused>();
    let (text, hint) = texts(error);
    let paint = |word: &'static str| console::style(word).for_stderr().bold();
    let hint = hint.map(|hint| format!("\n\n{} {}", paint("hint:").cyan(), printable(&hint)));
    // It must not be dropped because of what waits before it.
    crate::output::flush();
    eprintln!("{} {}{}", paint("error:").red(), printable(&text), hint.unwrap_or_default());
    if refused.is_some() { Exit::Refused } else { Exit::Internal }
}

/// Reports that the standard output lacks text, and returns the exit code for it.
pub fn report_stdout(failure: &io::Error) -> Exit {
    eprintln!("error: cannot write to the standard output: {failure}");
    Exit::Internal
}

/// Prints what clap has to say: help on the standard output, errors of usage on the standard error.
pub fn explain(message: &clap::Error) -> ExitCode {
    quietly_on_closed_stdout();
    let printed = message.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(failure) if !message.use_stderr() => report_stdout(&failure).into(),
        _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(Exit::Internal as u8)),
    }
}

/// The error and its causes in one line; a cause that the text before it ends with is left out.
fn chain(error: &anyhow::Error) -> String {
    causes(error.chain())
}

fn causes<'a>(chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    chain.fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            before if before.ends_with(&cause) => text,
            before => format!("{before}: {cause}"),
        }
    })
}

/// The words that were typed after the program's name, for information: what is not UTF-8 is replaced.
pub fn typed() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Restores the default action of SIGPIPE: exit quietly when the reader of stdout is gone.
///
/// Rust ignores the signal. Not for commands that must go on without a terminal.
pub fn quietly_on_closed_stdout() {
    // SAFETY: no other thread runs yet, and the default action has no handler to race with.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
