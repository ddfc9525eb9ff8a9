//! The published numbers of `paper.json`, as data.

use serde::Deserialize;

use crate::run::manifest::PublishedRow;
use crate::statistics::{Estimate, Rate, average_length, suites_mean, wilson};

/// The method that runs are compared with.
pub(crate) const METHOD: &str = "UD-VLA";

/// The paper's tables.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Paper {
    /// Version of the file's format.
    pub schema: u16,
    /// Title, venue and number of the paper.
    pub paper: String,
    /// Table of models by their components.
    pub components: ComponentTable,
    /// Tables of results.
    pub tables: Vec<PaperTable>,
    /// Tables of variants of UD-VLA.
    pub variants: Vec<VariantTable>,
    /// Numbers of the tables that the paper prints elsewhere too.
    pub claims: Vec<Claim>,
    /// How UD-VLA was run.
    pub settings: Vec<StatedSetting>,
}

/// How UD-VLA was run according to the paper, as a field of a run's subject.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StatedSetting {
    /// What it is about.
    pub what: String,
    /// The benchmark it is about; all of them if absent.
    pub benchmark: Option<String>,
    /// The corresponding field of a run's subject.
    pub key: String,
    /// Its value in the paper.
    pub value: String,
    /// Where the paper states it.
    pub source: String,
}

/// A table without measurements: the components of models.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ComponentTable {
    pub source: String,
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<ComponentRow>,
    pub note: String,
}

/// One model's components.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ComponentRow {
    /// The model.
    pub method: String,
    /// A cell per column.
    pub cells: Vec<String>,
}

/// A table that changes one property of UD-VLA.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VariantTable {
    /// Which table, for example `Table 5`.
    pub source: String,
    /// What is changed.
    pub title: String,
    /// The benchmark it is about.
    pub benchmark: String,
    /// The corresponding field of a run's subject.
    pub key: String,
    /// Sequences per average length, as the paper states.
    pub n_stated: u32,
    /// Generated tokens per action chunk, where the table is about speed.
    pub tokens_per_chunk: Option<u32>,
    /// Its rows, the reference first.
    pub rows: Vec<VariantRow>,
}

/// A variant of UD-VLA.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VariantRow {
    /// The variant as the paper names it.
    pub method: String,
    /// Values of the table's key that select this variant.
    pub values: Vec<String>,
    /// Average length.
    pub length: f64,
    /// Average length minus that of the first row, as printed.
    pub gain: Option<f64>,
    /// Generated tokens per second.
    pub tokens_per_second: Option<f64>,
    /// Tokens per second relative to the first row, as printed.
    pub speed_up: Option<f64>,
}

/// A table's average as it is printed elsewhere.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claim {
    /// Where it is printed.
    pub r#where: String,
    /// The table.
    pub source: String,
    /// The row.
    pub method: String,
    /// The number there.
    pub average: f64,
}

/// One table of results.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PaperTable {
    /// Which table, for example `Table 3`.
    pub source: String,
    /// The benchmark it is about, as in a protocol.
    pub benchmark: String,
    /// Names of the protocols that follow the paper; runs of others get no verdict.
    pub protocols: Vec<String>,
    /// Fingerprints of those protocols with the settings that follow the paper.
    pub fingerprints: Vec<String>,
    /// Renderers whose images are other ones than the paper's.
    #[serde(default)]
    pub other_renderers: Vec<OtherRenderer>,
    /// How its cells are printed.
    pub measure: Measure,
    /// What a row's `n` counts.
    pub n_of: String,
    /// The n that the paper or the benchmark states for all rows.
    pub n_stated: u32,
    /// Its columns, without the average.
    pub columns: Vec<PaperColumn>,
    /// Its rows, one per method.
    pub rows: Vec<PaperRow>,
    /// The row that runs are compared with.
    #[serde(skip, default = "method")]
    pub compared: String,
}

fn method() -> String {
    METHOD.into()
}

/// A renderer with which a run says nothing about the paper's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OtherRenderer {
    /// A part of its name in a run's setting.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// How a cell is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// A share of 1, with three decimals.
    Share,
    /// A percentage, with one decimal.
    Percent,
}

/// What a column is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PaperColumn {
    /// Heading.
    pub name: String,
    /// The suite.
    pub suite: String,
    /// The task, where the column is about one.
    pub task: Option<u16>,
    /// The number of stages in a row, where the column is about that.
    pub in_a_row: Option<u16>,
}

/// One method's numbers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PaperRow {
    /// The method.
    pub method: String,
    /// A value per column.
    pub values: Vec<f64>,
    /// The average as printed: a mean of the values, or the average length.
    pub average: f64,
    /// `published`: taken from the paper, not measured here.
    pub status: String,
    /// Episodes per value; absent where a value is not k/n for the stated n.
    pub n: Option<u32>,
    /// What else is known.
    pub note: Option<String>,
}

/// A published number with the interval that its n gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The number as a share of 1, or as an average length.
    pub estimate: Estimate,
    /// Number of episodes.
    pub n: u32,
    /// The table it is from.
    pub source: String,
}

impl Published {
    /// Successes and episodes, of a success rate.
    pub fn count(&self) -> (u32, u32) {
        ((self.estimate.value * f64::from(self.n)).round() as u32, self.n)
    }
}

impl Paper {
    /// The numbers that come with this build.
    pub fn bundled() -> Self {
        serde_json::from_str(include_str!("../paper.json")).expect("the tests read paper.json")
    }

    /// The table about `benchmark`.
    pub fn table(&self, benchmark: &str) -> Option<&PaperTable> {
        self.tables.iter().find(|table| table.benchmark == benchmark)
    }
}

impl PaperTable {
    /// The table with another row to compare runs with.
    #[must_use]
    pub fn compared_with(&self, row: &PublishedRow) -> Self {
        let mut table = self.clone();
        table.rows.retain(|other| other.method != row.method);
        table.rows.push(PaperRow {
            method: row.method.clone(),
            values: row.values.clone(),
            average: row.average,
            status: "published".into(),
            n: Some(row.n),
            note: None,
        });
        table.compared.clone_from(&row.method);
        table.source.clone_from(&row.source);
        table
    }

    /// The row of a method in the form that a run stores.
    ///
    /// # Errors
    /// Why runs cannot be compared with it.
    pub fn published_row(&self, method: &str) -> Result<PublishedRow, String> {
        let row = self.rows.iter().find(|row| row.method == method);
        let row = row.ok_or_else(|| format!("{} has no row `{method}`", self.source))?;
        let n = row.n.ok_or_else(|| {
            format!("the values of `{method}` in {} are no counts of a stated n", self.source)
        })?;
        let row = PublishedRow {
            method: row.method.clone(),
            benchmark: self.benchmark.clone(),
            values: row.values.clone(),
            average: row.average,
            n,
            source: self.source.clone(),
        };
        self.check(&row).map(|()| row)
    }

    /// Whether runs can be compared with a row.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self, row: &PublishedRow) -> Result<(), String> {
        let (given, needed) = (row.values.len(), self.columns.len());
        if given != needed {
            let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(format!(
                "the numbers of values and columns differ, {given} and {needed} ({})",
                names.join(", ")
            ));
        }
        match row.values.iter().find(|value| self.measure.count(**value, row.n).is_none()) {
            Some(value) => Err(format!("{value} is no count out of {}", row.n)),
            None => Ok(()),
        }
    }

    /// The compared row's success rate on `suite`: pooled where the table has a value per task.
    pub fn suite(&self, suite: &str) -> Option<Published> {
        let rate = self.suite_rate(suite)?;
        Some(self.published(rate.estimate?, rate.n))
    }

    fn suite_rate(&self, suite: &str) -> Option<Rate> {
        let counts = self.counts(|column| column.suite == suite && column.in_a_row.is_none())?;
        let (successes, n) = pooled(&counts);
        Some(Rate::new(successes, n, 0))
    }

    /// The compared row's success rate on one task of `suite`.
    pub fn task(&self, suite: &str, task: u16) -> Option<Published> {
        self.column_rate(|column| column.suite == suite && column.task == Some(task))
    }

    /// The compared row's share of sequences with at least `stages` in a row on `suite`.
    pub fn in_a_row(&self, suite: &str, stages: u16) -> Option<Published> {
        self.column_rate(|column| column.suite == suite && column.in_a_row == Some(stages))
    }

    fn column_rate(&self, selected: impl Fn(&PaperColumn) -> bool) -> Option<Published> {
        let &(successes, n) = self.counts(selected)?.first()?;
        Some(self.published(wilson(successes, n)?, n))
    }

    /// The compared row's average length on `suite`, from the shares in a row.
    pub fn average_length(&self, suite: &str, stages: u16) -> Option<Published> {
        let counts = self.counts(|column| column.suite == suite && column.in_a_row.is_some())?;
        let n = counts.first()?.1;
        let reached: Vec<u32> = counts.iter().map(|count| count.0).collect();
        let estimate = average_length(&lengths(&reached, n), stages, 0).estimate?;
        Some(self.published(estimate, n))
    }

    /// The compared row's mean over the table's suites.
    pub fn average(&self) -> Option<Published> {
        let rates: Vec<_> =
            self.suites().iter().filter_map(|suite| self.suite_rate(suite)).collect();
        Some(self.published(suites_mean(&rates)?, rates.iter().map(|rate| rate.n).sum()))
    }

    /// The table's suites, in its order.
    pub fn suites(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().map(|column| &*column.suite).collect();
        names.dedup();
        names
    }

    /// Successes and episodes of the compared row in the selected columns; `None` without such a column.
    fn counts(&self, selected: impl Fn(&PaperColumn) -> bool) -> Option<Vec<(u32, u32)>> {
        let row = self.rows.iter().find(|row| row.method == self.compared)?;
        let n = row.n?;
        let cells = self.columns.iter().zip(&row.values).filter(|(column, _)| selected(column));
        let counts: Option<Vec<_>> =
            cells.map(|(_, &value)| Some((self.measure.count(value, n)?, n))).collect();
        counts.filter(|counts| !counts.is_empty())
    }

    fn published(&self, estimate: Estimate, n: u32) -> Published {
        Published { estimate, n, source: self.source.clone() }
    }
}

/// Successes and episodes of several counts together.
pub(crate) fn pooled(counts: &[(u32, u32)]) -> (u32, u32) {
    counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

/// The lengths of `n` sequences, of which `reached[k]` completed at least `k + 1` stages.
pub(crate) fn lengths(reached: &[u32], n: u32) -> Vec<u16> {
    let length = |sequence| reached.iter().filter(|&&count| count > sequence).count() as u16;
    (0..n).map(length).collect()
}

impl Measure {
    /// The count out of `n` that is printed as `value`, rounded or truncated; `None` when no
    /// count is. The smallest such count; for the n in use it is the only one.
    pub fn count(self, value: f64, n: u32) -> Option<u32> {
        // In units of the last printed decimal, which is 1/1000 for both measures.
        let printed = match self {
            Self::Share => (value * 1000.0).round(),
            Self::Percent => (value * 10.0).round(),
        };
        (0..=n).find(|&count| {
            let exact = f64::from(count) * 1000.0 / f64::from(n);
            exact.round() == printed || exact.floor() == printed
        })
    }
}
