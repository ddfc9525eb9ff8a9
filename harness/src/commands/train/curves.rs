//! The course of a training: a CSV file, and a plot of it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use udvla_policies::train::Figures;
use udvla_results::out::plots::{Course, course};
use udvla_results::run::files::write_atomic;

/// Steps whose mean is a row.
const TOGETHER: u64 = 20;

/// Figures by step.
pub struct Curves {
    file: PathBuf,
    sums: BTreeMap<&'static str, (f64, u64)>,
    pending: u64,
}

impl Curves {
    /// Opens the file of a training that has done `step` steps; later rows are dropped.
    pub fn open(file: &Path, step: u64) -> Result<Self> {
        let context = || format!("cannot write `{}`", file.display());
        let kept: String = match fs::read_to_string(file) {
            Ok(text) => (text.lines())
                .filter(|line| {
                    line.split(',')
                        .next()
                        .and_then(|s| s.parse().ok())
                        .is_none_or(|s: u64| s <= step)
                })
                .map(|line| format!("{line}\n"))
                .collect(),
            Err(_) => "step,figure,value\n".into(),
        };
        fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).with_context(context)?;
        fs::write(file, kept).with_context(context)?;
        Ok(Self { file: file.to_owned(), sums: BTreeMap::new(), pending: 0 })
    }

    /// Adds the figures of a step.
    pub fn add(&mut self, step: u64, figures: &Figures) -> Result<()> {
        for &(name, value) in figures {
            let sum = self.sums.entry(name).or_default();
            (sum.0, sum.1) = (sum.0 + value, sum.1 + 1);
        }
        self.pending += 1;
        let is_rare = self.file.ends_with("validation.csv");
        if self.pending < TOGETHER && !is_rare {
            return Ok(());
        }
        self.pending = 0;
        let mut text = String::new();
        for (name, (sum, count)) in std::mem::take(&mut self.sums) {
            text += &format!("{step},{name},{:.6}\n", sum / count as f64);
        }
        OpenOptions::new()
            .append(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", self.file.display()))
    }

    /// Draws all rows into an SVG file of the same name.
    pub fn draw(&self) -> Result<()> {
        let text = fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read `{}`", self.file.display()))?;
        let mut courses: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for line in text.lines().skip(1) {
            let mut cells = line.split(',');
            if let (Some(step), Some(name), Some(value)) =
                (cells.next(), cells.next(), cells.next())
                && let (Ok(step), Ok(value)) = (step.parse(), value.parse())
            {
                courses.entry(name).or_default().push((step, value));
            }
        }
        let courses: Vec<Course> =
            courses.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
        let title = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let file = self.file.with_extension("svg");
        write_atomic(&file, course(&title, &courses)?.as_bytes())
            .with_context(|| format!("cannot write `{}`", file.display()))
    }
}
