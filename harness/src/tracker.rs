//! A tracker (TensorBoard, wandb, Trackio) that follows a run: a Python process of its own, which
//! only reads the run directory. Nothing that it does or fails to do changes the run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use udvla_results::out::printable::printable_line;

use crate::cli::TrackingArguments;
use crate::environment;
use crate::exit::Refused;

/// Longest wait for a tracker after the run, for what it has not sent yet.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where its log goes, in the run directory.
const LOG: &str = "logs/track.log";

/// A tracker that follows a run.
#[derive(Debug)]
pub struct Tracker {
    name: String,
    directory: PathBuf,
    process: Child,
    /// Closed when the run has ended.
    pipe: ChildStdin,
    log: File,
}

impl Tracker {
    /// Checks that the tracker that is asked for, if any, could start.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn check(arguments: &TrackingArguments) -> Result<(), Refused> {
        match &arguments.track {
            Some(name) => check(command(arguments, name, Path::new(".")).arg("--check"), name),
            None => Ok(()),
        }
    }

    /// Starts the tracker that is asked for, if any; the run directory need not exist yet.
    ///
    /// # Errors
    /// [`Refused`] when its Python or its package is missing.
    pub fn start(arguments: &TrackingArguments, directory: &Path) -> Result<Option<Self>> {
        let Some(name) = &arguments.track else { return Ok(None) };
        Self::check(arguments)?;
        let log = tempfile::tempfile().map_err(|error| {
            let folder = std::env::temp_dir();
            Refused::new(format!("cannot make a file in `{}`", folder.display()))
                .because(error)
                .hint("TMPDIR names a folder for temporary files")
        })?;
        let mut process = command(arguments, name, directory)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start the tracker `{name}`"))?;
        let pipe = process.stdin.take().context("the tracker has a pipe")?;
        Ok(Some(Self { name: name.clone(), directory: directory.to_owned(), process, pipe, log }))
    }

    /// Tells the tracker that the run has ended, waits until everything is sent, and says what went
    /// wrong.
    pub fn finish(self) {
        let Self { name, directory, mut process, pipe, mut log } = self;
        drop(pipe);
        let ended = wait(&mut process);
        let text = text(&mut log);
        let folder = directory.join(LOG);
        let is_kept = !text.is_empty()
            && folder.parent().is_some_and(Path::is_dir)
            && std::fs::write(&folder, &text).is_ok();
        let place = if is_kept { format!(" (`{}`)", folder.display()) } else { String::new() };
        match ended {
            Some(status) if status.success() => {}
            Some(status) => {
                let last = text.lines().rev().find(|line| !line.trim().is_empty());
                let last = last.map_or_else(|| status.to_string(), str::to_owned);
                eprintln!(
                    "note: `{name}` does not have all results: {}{place}",
                    printable_line(&last)
                );
            }
            None => eprintln!(
                "note: `{name}` still sends results after {} seconds, as process {}",
                PATIENCE.as_secs(),
                process.id()
            ),
        }
    }
}

/// The process that follows a run.
fn command(arguments: &TrackingArguments, name: &str, directory: &Path) -> Command {
    let TrackingArguments { track_project, track_dir, track_python, .. } = arguments;
    let prefix = environment::prefix();
    let installed = prefix.as_ref().map(|prefix| prefix.join("bin/python"));
    let python = track_python.clone().or(installed).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    if prefix.is_none() {
        // From a source tree: the package is not installed anywhere.
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/python");
        let others = std::env::var_os("PYTHONPATH").unwrap_or_default();
        let folders = [package].into_iter().chain(std::env::split_paths(&others));
        if let Ok(folders) = std::env::join_paths(folders) {
            command.env("PYTHONPATH", folders);
        }
    }
    // Absolute, and with an equals sign: a name may begin with a hyphen.
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    command.args(["-m", "udvla_eval.track"]).arg(directory).args(["--to", name]);
    if let Some(project) = track_project {
        command.arg(format!("--project={project}"));
    }
    if let Some(folder) = track_dir {
        let mut word = OsString::from("--logdir=");
        word.push(folder);
        command.arg(word);
    }
    command
}

/// Checks that the tracker's package is installed.
fn check(command: &mut Command, name: &str) -> Result<(), Refused> {
    let python = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        Refused::new(format!(
            "`--track {name}` needs a Python, and `{}` does not run",
            python.display()
        ))
        .because(error)
        .hint("pass `--track-python PATH`")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let (text, hint) = said.trim().split_once("\n\nhint: ").unwrap_or((said.trim(), ""));
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let hint = if hint.is_empty() { "`--track-python PATH` names another Python" } else { hint };
    Err(Refused::new(format!("`--track {name}` cannot start: {text}")).hint(hint))
}

/// How the process ended; `None` if it has not.
fn wait(process: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match process.try_wait() {
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Ok(ended) => return ended,
            Err(_) => return None,
        }
    }
}

fn text(log: &mut File) -> String {
    let mut bytes = vec![];
    // A log that cannot be read has nothing to say.
    let _ = log.rewind().and_then(|()| log.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
