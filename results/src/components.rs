//! The paper's table of models by their components: words, and nothing to measure.

use crate::paper::{ComponentRow, ComponentTable};
use crate::paper_tables::{Cell, Origin, ResultRow, ResultTable};

/// The table as the others are shown.
pub(crate) fn result_table(table: &ComponentTable) -> ResultTable {
    let row = |row: &ComponentRow| ResultRow {
        method: row.method.clone(),
        status: Origin::Published,
        cells: row.cells.iter().map(|cell| Some(Cell::words(cell.clone()?))).collect(),
        n: String::new(),
        verdict: None,
    };
    ResultTable {
        source: table.source.clone(),
        title: table.title.clone(),
        columns: table.columns.clone(),
        n_of: String::new(),
        rows: table.rows.iter().map(row).collect(),
        notes: vec![table.note.clone()],
    }
}
