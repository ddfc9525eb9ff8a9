"""A run directory as data frames: what `export` and `report` write, with types."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from udvla_eval.program import ask

if TYPE_CHECKING:
    import pandas
    import polars

Frame = TypeVar("Frame")
Row = dict[str, str]

# Columns that are not numbers with a fraction.
TEXTS = """run suite instruction status error_kind error_message notes verdict reason comparable
    subtask""".split()
INTEGERS = """task trial stages stages_completed steps calls attempts asked missing n errors
    successes paper_n successes_other_rule not_reached""".split()
TRUTHS = ["success", "truncated"]
ONLY_OF_OK = ["success", "progress"]
ONLY_OF_ERRORS = ["error_kind", "error_message"]


@dataclass(frozen=True)
class Run(Generic[Frame]):
    """A run directory, read once.

    Attributes:
        manifest: Content of `run.json` (docs/run-directory.md).
        summary: A row per suite, and one named `average` if there are several: counts, rate, 95 %
            interval (`low`, `high`), the paper's number and the verdict.
        tasks: A row per task, with the same numbers.
        episodes: A row per episode that ran to its end; the last record of an episode counts.
        errors: A row per episode that could not be run: no failures, and part of no rate.
        missing: A row per planned episode without a record.
    """

    path: Path
    manifest: dict[str, Any]
    summary: Frame
    tasks: Frame
    episodes: Frame
    errors: Frame
    missing: Frame


@overload
def read_run(path: str | Path, frame: Literal["pandas"] = ...) -> Run[pandas.DataFrame]: ...
@overload
def read_run(path: str | Path, frame: Literal["polars"]) -> Run[polars.DataFrame]: ...
def read_run(path: str | Path, frame: Literal["pandas", "polars"] = "pandas") -> Run[Any]:
    """Reads a run directory, also one that is being played, as frames of pandas or polars.

    Where the tables in the directory are older than the records, the program writes them again.
    `ProgramError` if it cannot read the run or finds it damaged.
    """
    path, make = Path(path), {"pandas": _pandas, "polars": _polars}[frame]
    rows, columns = _rows(ask("export", path, "--format", "csv"))
    states = ("ok", "error", "missing")
    ok, errors, missing = ([row for row in rows if row["status"] == state] for state in states)
    if not _is_current(path, [len(ok), len(errors)]):
        ask("report", path, "--quiet")
    return Run(
        path=path,
        manifest=json.loads((path / "run.json").read_text()),
        summary=make(*_rows((path / "tables/summary.csv").read_text())),
        tasks=make(*_rows((path / "tables/tasks.csv").read_text())),
        episodes=make(ok, [name for name in columns if name not in ("status", *ONLY_OF_ERRORS)]),
        errors=make(errors, [name for name in columns if name not in ("status", *ONLY_OF_OK)]),
        missing=make(missing, columns[:5]),
    )


def _rows(text: str) -> tuple[list[Row], list[str]]:
    reader = csv.DictReader(io.StringIO(text))
    return list(reader), list(reader.fieldnames or [])


def _is_current(path: Path, counts: list[int]) -> bool:
    """Whether the tables count the records that there are; every new record changes a count."""
    try:
        rows, _ = _rows((path / "tables/summary.csv").read_text())
    except FileNotFoundError:
        return False
    suites = [row for row in rows if row["suite"] != "average"]
    return counts == [sum(int(suite[name]) for suite in suites) for name in ("n", "errors")]


def _value(name: str, cell: str) -> object:
    if cell == "":
        return None
    if name == "started":
        return datetime.fromisoformat(cell.replace("Z", "+00:00"))
    if name in TRUTHS:
        return cell in ("1", "true")
    return cell if name in TEXTS else int(cell) if name in INTEGERS else float(cell)


def _typed(rows: list[Row], columns: list[str], types: list[Any]) -> dict[str, tuple[Any, Any]]:
    """Type and values of every column, for types of texts, integers, truths, times and numbers."""
    kinds = [TEXTS, INTEGERS, TRUTHS, ["started"], columns]
    first = {name: [name in kind for kind in kinds].index(True) for name in columns}
    return {
        name: (types[first[name]], [_value(name, row[name]) for row in rows]) for name in columns
    }


def _pandas(rows: list[Row], columns: list[str]) -> pandas.DataFrame:
    import pandas

    types = ["string", "Int64", "bool", "datetime64[s, UTC]", "float64"]
    typed = _typed(rows, columns, types).items()
    return pandas.DataFrame({name: pandas.Series(of, dtype=kind) for name, (kind, of) in typed})


def _polars(rows: list[Row], columns: list[str]) -> polars.DataFrame:
    import polars

    times = polars.Datetime("ms", "UTC")
    types = [polars.String(), polars.Int64(), polars.Boolean(), times, polars.Float64()]
    typed = _typed(rows, columns, types).items()
    return polars.DataFrame([polars.Series(name, of, dtype=kind) for name, (kind, of) in typed])
