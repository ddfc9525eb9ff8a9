//! `assemble-checkpoint`: writes the manifest of a checkpoint whose parts lie in separate folders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use udvla_policies::udvla::checkpoint::{FORMAT, MANIFEST, Manifest};
use udvla_policies::udvla::{Checkpoint, inspect};

use super::inspect::print;
use crate::cli::{AssembleArguments, BenchmarkFiles};
use crate::exit::{Exit, Refused};
use crate::hub;

/// Writes `checkpoint.json` if everything it names fits together; copies nothing.
///
/// # Errors
/// [`Refused`] for a part that is missing or does not fit, after all parts were printed.
pub fn run(arguments: &AssembleArguments) -> Result<Exit> {
    let directory = &arguments.directory;
    let file = directory.join(MANIFEST);
    if file.exists() {
        return Err(Refused::new(format!("`{}` exists", file.display()))
            .hint("name another folder, or remove that file")
            .into());
    }
    let text = format!("{:#}\n", manifest(arguments)?);
    let manifest = Manifest::parse(&text, &file).context("the manifest is not valid")?;
    let checkpoint = Checkpoint::new(directory, manifest);
    let parts = inspect::inspect(&checkpoint);
    parts.iter().for_each(print);
    if parts.iter().any(|part| !part.faults.is_empty()) {
        return Err(Refused::new(format!(
            "`{}` was not written: see the faults above",
            file.display()
        ))
        .hint("docs/checkpoint.md says where each part is published")
        .into());
    }
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&file, text))
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(Exit::Complete)
}

/// The manifest with absolute paths. Settings that are not given are the published ones.
fn manifest(arguments: &AssembleArguments) -> Result<Value, Refused> {
    let mut benchmarks = Map::new();
    for files in &arguments.benchmarks {
        if benchmarks.insert(files.benchmark.clone(), entry(files)?).is_some() {
            return Err(Refused::new(format!("`{}` is given twice", files.benchmark)));
        }
    }
    let model = hub::folder(&arguments.model, &hub::MODEL)?;
    let vision = hub::folder(&arguments.vision, &hub::MODEL)?;
    let text = hub::folder(&arguments.text, &hub::TEXT)?;
    let mut manifest = json!({
        "format": FORMAT,
        "name": arguments.name.clone().unwrap_or_else(|| name_of(&arguments.model)),
        "model": found(&model)?,
        "target": arguments.target,
        "text": text_files(&text)?,
        "vision": found(&vision)?,
        "benchmarks": benchmarks,
    });
    if let Some(attention) = arguments.attention {
        manifest["attention"] = json!(attention);
    }
    Ok(manifest)
}

fn entry(files: &BenchmarkFiles) -> Result<Value, Refused> {
    let stats = match files.stats.is_dir() {
        true => found(&files.stats.join("norm_stats.json"))?,
        false => found(&files.stats)?,
    };
    let name = match &files.entry {
        Some(name) => name.clone(),
        None => only_entry(&stats, &files.benchmark)?,
    };
    Ok(json!({ "fast": found(&files.fast)?, "norm_stats": { "file": stats, "name": name } }))
}

/// The name of the only entry of a file of statistics, or of the one named like the benchmark.
fn only_entry(file: &Path, benchmark: &str) -> Result<String, Refused> {
    let refused = |what: String| Refused::new(format!("`{}` {what}", file.display()));
    let text =
        std::fs::read_to_string(file).map_err(|e| refused("cannot be read".into()).because(e))?;
    let stats: Value =
        serde_json::from_str(&text).map_err(|e| refused("is not JSON".into()).because(e))?;
    let entries = stats["norm_stats"].as_object();
    let names: Vec<&String> = entries.into_iter().flatten().map(|(name, _)| name).collect();
    match &names[..] {
        [] => Err(refused("has no `norm_stats`".into()).hint(
            "the file is `norm_stats.json` of a `normalizer_…` folder of the UD-VLA repository",
        )),
        [name] => Ok((*name).clone()),
        several if several.iter().any(|name| *name == benchmark) => Ok(benchmark.into()),
        several => Err(refused(format!("has {} entries", several.len())).hint(format!(
            "append one of them, as in `{}:{}`",
            file.display(),
            several[0]
        ))),
    }
}

/// Files of the text tokenizer in a folder, or beside a rank file.
fn text_files(path: &Path) -> Result<Value, Refused> {
    let path = found(path)?;
    let (folder, ranks) = match path.is_dir() {
        true => (path.clone(), one_file(&path, ".tiktoken")?),
        false => (path.parent().unwrap_or(&path).to_owned(), Some(path.clone())),
    };
    let ranks = ranks.ok_or_else(|| {
        Refused::new(format!("no `*.tiktoken` in `{}`", folder.display()))
            .hint("the text tokenizer is `emu3.tiktoken` of the hub folder BAAI/Emu3-Stage1")
    })?;
    let mut files = json!({ "ranks": ranks });
    if let Some(names) = one_file(&folder, "vision_tokens.txt")? {
        files["vision_tokens"] = json!(names);
    }
    Ok(files)
}

/// The file in `folder` whose name ends with `ending`, if there is exactly one.
fn one_file(folder: &Path, ending: &str) -> Result<Option<PathBuf>, Refused> {
    let unreadable = |e| Refused::new(format!("cannot read `{}`", folder.display())).because(e);
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let paths = entries.flatten().map(|entry| entry.path());
    let matches = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    let mut files: Vec<PathBuf> = paths.filter(matches).collect();
    match files.len() {
        0 | 1 => Ok(files.pop()),
        n => Err(Refused::new(format!("{n} files `*{ending}` in `{}`", folder.display()))
            .hint("name the rank file itself")),
    }
}

fn found(path: &Path) -> Result<PathBuf, Refused> {
    path.canonicalize().map_err(|error| {
        Refused::new(format!("cannot open `{}`", path.display()))
            .because(error)
            .hint("docs/checkpoint.md says where each part is published")
    })
}

fn name_of(folder: &Path) -> String {
    let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_owned()));
    name.map_or_else(|| "UD-VLA".into(), |name| name.to_string_lossy().into_owned())
}
