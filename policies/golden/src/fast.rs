//! Recomputes files of kind `fast`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use udvla_policies::tokens::FastTokenizer;

use crate::error::GoldenError;
use crate::file::{self, LONGEST};

#[derive(Deserialize)]
struct Inputs {
    cases: Vec<Case>,
}

/// One chunk, or one sequence of arbitrary ids.
#[derive(Deserialize)]
struct Case {
    tokenizer: String,
    actions: Option<Vec<Vec<f64>>>,
    /// Input of cases without actions.
    ids: Option<Vec<i64>>,
    /// An output; only its shape is used.
    decoded: Option<Vec<Vec<f64>>>,
}

impl Case {
    /// Rows and columns of the chunk, if the case has them.
    fn shape(&self) -> Option<[usize; 2]> {
        let rows = self.actions.as_ref().or(self.decoded.as_ref())?;
        Some([rows.len(), rows.first()?.len()])
    }
}

/// `cases`, each with `decoded` and, if it has actions, `ids`.
pub(crate) fn recompute(file: &Value, folder: Option<&Path>) -> Result<Value, GoldenError> {
    let inputs: Inputs = file::inputs(file)?;
    let mut opened = HashMap::new();
    let mut cases = vec![];
    for (index, case) in inputs.cases.iter().enumerate() {
        let name = case.tokenizer.as_str();
        if !opened.contains_key(name) {
            opened.insert(name, open(folder, name)?);
        }
        let tokenizer = &opened[name];
        let [horizon, width] = shape(case, &inputs.cases);
        if !(1..=LONGEST).contains(&horizon) || !(1..=LONGEST).contains(&width) {
            let reason = format!("is a chunk of {horizon} x {width}");
            return Err(GoldenError::value(&format!("cases[{index}]"), reason));
        }
        let mut outputs = json!({ "tokenizer": name });
        let ids = match (&case.actions, &case.ids) {
            (Some(actions), _) => {
                let key = || format!("cases[{index}].actions");
                if actions.iter().any(|row| row.len() != width) {
                    return Err(GoldenError::value(&key(), "has rows of several lengths"));
                }
                let ids = tokenizer.encode(&actions.concat(), horizon, width);
                outputs["ids"] = json!(ids);
                ids
            }
            (None, Some(ids)) => ids.clone(),
            (None, None) => {
                let key = format!("cases[{index}]");
                return Err(GoldenError::value(&key, "has neither actions nor ids"));
            }
        };
        let decoded = tokenizer.decode(&ids, horizon, width);
        outputs["decoded"] = json!(decoded.chunks(width.max(1)).collect::<Vec<_>>());
        cases.push(outputs);
    }
    Ok(json!({ "cases": cases }))
}

/// Shape of a case's chunk. For a case of ids only: that of another case of the tokenizer, or else
/// seven columns and the rows in the tokenizer's name (`_a10_`, `_t5_`).
fn shape(case: &Case, all: &[Case]) -> [usize; 2] {
    let of_sibling =
        || all.iter().filter(|other| other.tokenizer == case.tokenizer).find_map(Case::shape);
    let of_name = || {
        let mut parts = case.tokenizer.split('_');
        let rows = parts.find_map(|part| part.strip_prefix(['a', 't'])?.parse().ok());
        [rows.unwrap_or(10), 7]
    };
    case.shape().or_else(of_sibling).unwrap_or_else(of_name)
}

fn open(folder: Option<&Path>, name: &str) -> Result<FastTokenizer, GoldenError> {
    let absent = || GoldenError::NoTokenizers { name: name.to_owned() };
    let folder = folder.ok_or_else(absent)?.join(name);
    let [tokenizer, config] = ["tokenizer.json", "processor_config.json"].map(|f| folder.join(f));
    if !(tokenizer.is_file() && config.is_file()) {
        return Err(absent());
    }
    FastTokenizer::open(&tokenizer, &config).map_err(|source| GoldenError::Tokenizer { source })
}
