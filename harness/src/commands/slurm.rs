//! `slurm`: a run as an array job of parts, and a job that merges them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Parser;
use udvla_results::run::part::Part;

use crate::cli::{self, Cli, RunCommand, SlurmArguments};
use crate::exit::{Exit, Refused};

/// Prints the script that submits the jobs, or lets a shell run it.
///
/// # Errors
/// [`Refused`] when the command is no run, or a part of it would be empty.
pub fn run(arguments: &SlurmArguments) -> Result<Exit> {
    let command = checked(arguments)?;
    let label = format!("{}-slurm", command.benchmark.name());
    let out = arguments.out.clone().unwrap_or_else(|| cli::new_directory(&label));
    let out = std::path::absolute(&out).context("there is no current folder")?;
    let program = std::env::current_exe().context("this program has no path")?;
    let script = script(arguments, &out, &program)?;
    if !arguments.submit {
        print!("{script}");
        return Ok(Exit::Complete);
    }
    let mut shell = Command::new("bash").stdin(Stdio::piped()).spawn().context("no bash")?;
    let mut input = shell.stdin.take().context("bash has an input")?;
    input.write_all(script.as_bytes()).context("bash ended early")?;
    drop(input);
    let ended = shell.wait().context("bash is gone")?;
    if !ended.success() {
        return Err(Refused::new("the jobs were not submitted")
            .hint("sbatch said why above; without `--submit` the script is printed")
            .into());
    }
    eprintln!("note: `udvla-eval status {}` shows how far the parts are", out.display());
    Ok(Exit::Complete)
}

/// The run, whose parts all have episodes.
fn checked(arguments: &SlurmArguments) -> Result<Box<RunCommand>> {
    let words = std::iter::once("udvla-eval").chain(arguments.command.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(words).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Refused::new("the command after `--` cannot run")
            .because(first.trim_start_matches("error: ").to_owned())
            .hint("for example `udvla-eval slurm --parts 16 -- libero --suite long`")
    })?;
    let cli::Command::Run(command) = parsed.command else {
        return Err(Refused::new("the command after `--` plays no episodes")
            .hint("name a benchmark: libero, calvin or simpler")
            .into());
    };
    let run = &command.run;
    for (given, flag) in
        [(run.part.is_some(), "--part"), (run.out.is_some(), "--out"), (run.dry_run, "--dry-run")]
    {
        if given {
            let text = format!("`{flag}` does not go into the command after `--`");
            return Err(Refused::new(text)
                .hint("every part gets its own; `slurm --out` names the folder of them all")
                .into());
        }
    }
    let episodes = cli::episodes_of_command(&command)?;
    let parts = Part::all(arguments.parts);
    if let Some(part) =
        parts.into_iter().find(|part| !episodes.iter().any(|key| part.contains(key)))
    {
        let text = format!("none of the run's {} episodes is in part {part}", episodes.len());
        return Err(Refused::new(text).hint("split the run into fewer parts").into());
    }
    Ok(command)
}

/// The script that submits both jobs.
fn script(arguments: &SlurmArguments, out: &Path, program: &Path) -> Result<String> {
    let parts = arguments.parts;
    let directives = directives(arguments, out)?;
    let before: String = arguments.before.iter().map(|line| format!("{line}\n")).collect();
    let program = quoted(&program.display().to_string())?;
    let command = arguments.command.iter().map(|word| quoted(word));
    let command = command.collect::<Result<Vec<_>>>()?.join(" ");
    let folder = quoted(&out.display().to_string())?;
    let logs = quoted(&out.join("logs").display().to_string())?;
    let of_merge = [("account", &arguments.account), ("partition", &arguments.partition)];
    let of_merge = of_merge.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let of_merge = of_merge
        .map(|(name, value)| Ok(format!("\n#SBATCH {}", quoted(&format!("--{name}={value}"))?)));
    let of_merge = of_merge.collect::<Result<String>>()?;
    Ok(format!(
        r#"#!/bin/bash
# Submits {parts} parts of a run, and a job that merges them when all have ended.
set -euo pipefail
mkdir -p {logs}
parts=$(sbatch --parsable <<'PART'
#!/bin/bash
{directives}
set -u
{before}# After a requeue the same command goes on where the part stopped.
{program} {command} --no-progress \
  --part "$SLURM_ARRAY_TASK_ID/{parts}" --out {folder}/"part-$SLURM_ARRAY_TASK_ID" &
run=$!
again=
# Running episodes are finished, the rest is for the next time.
trap 'again=yes; kill -TERM "$run" 2> /dev/null' USR1
trap 'kill -TERM "$run" 2> /dev/null' TERM
wait "$run"; code=$?
while kill -0 "$run" 2> /dev/null; do wait "$run"; code=$?; done
if [ "$code" = 3 ] && [ -n "$again" ]; then
  echo "requeued: the time limit is near"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
  sleep 60
fi
# Episodes that could not be run are in the records, and merging tells of them.
[ "$code" = 4 ] && code=0
exit "$code"
PART
)
merge=$(sbatch --parsable --dependency="afterok:${{parts%%;*}}" <<'MERGE'
#!/bin/bash
#SBATCH --job-name=udvla-eval-merge{of_merge}
#SBATCH {log}
exec {program} merge --no-progress {folder}/whole {folder}/part-*
MERGE
)
echo "parts: job ${{parts%%;*}}, merge: job ${{merge%%;*}}, in "{folder}
"#,
        log = quoted(&format!("--output={}", out.join("logs/merge.log").display()))?,
    ))
}

/// The options of the parts, a line each.
fn directives(arguments: &SlurmArguments, out: &Path) -> Result<String> {
    let SlurmArguments { parts, at_once, drain, .. } = arguments;
    let at_once = at_once.map_or(String::new(), |number| format!("%{number}"));
    let log: PathBuf = out.join("logs/part-%a.log");
    let mut options = vec![
        "--job-name=udvla-eval".to_owned(),
        format!("--array=1-{parts}{at_once}"),
        "--requeue".into(),
        "--open-mode=append".into(),
        // To the shell alone, which then ends the run in its own way.
        format!("--signal=B:USR1@{drain}"),
        format!("--output={}", log.display()),
    ];
    let named = [
        ("time", arguments.time.clone()),
        ("gpus", arguments.gpus.clone()),
        ("cpus-per-task", arguments.cpus.map(|cpus| cpus.to_string())),
        ("mem", arguments.memory.clone()),
        ("partition", arguments.partition.clone()),
        ("account", arguments.account.clone()),
    ];
    let named = named.into_iter();
    options.extend(named.filter_map(|(name, value)| Some(format!("--{name}={}", value?))));
    options.extend(arguments.sbatch.iter().cloned());
    let line = |option: &String| Ok(format!("#SBATCH {}", quoted(option)?));
    Ok(options.iter().map(line).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// The word as a shell, or sbatch, reads it.
fn quoted(word: &str) -> Result<String> {
    // shlex also quotes `=` and `:`, which mean nothing to either.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "=:@%,./+_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Ok(word.to_owned());
    }
    let quoted = shlex::try_quote(word).context("a word holds a zero byte")?;
    Ok(quoted.into_owned())
}
