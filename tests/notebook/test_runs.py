"""`udvla_eval.read_run` on runs of the program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas
import polars
import pytest
from conftest import FAKE, PACKAGE, PROGRAM, ROOT
from udvla_eval import ProgramError, read_run

KEY = "long-task03-trial000"


def last_records(run: Path) -> dict[tuple, dict]:
    lines = (run / "episodes.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {(one["suite"], one["task"], one["trial"]): one for one in records}


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_episodes_are_rows_and_an_error_is_none_of_them(play, frame: str) -> None:
    path = play("run", "--retries=0", f"--sim-option=poison={KEY}", code=4)
    run = read_run(path, frame)
    package = {"pandas": pandas, "polars": polars}[frame]
    assert all(isinstance(it, package.DataFrame) for it in (run.episodes, run.errors, run.missing))
    rows = {
        (row["suite"], row["task"], row["trial"]): row
        for row in (
            run.episodes.to_dict("records") if frame == "pandas" else run.episodes.to_dicts()
        )
    }
    records = last_records(path)
    error = records.pop(("long", 3, 0))
    assert rows.keys() == records.keys() and len(rows) == 9
    for key, record in records.items():
        row = rows[key]
        assert row["success"] == (record["stages_completed"] == 1)
        assert (row["steps"], row["truncated"]) == (record["steps"], record["truncated"])
        assert row["wall_seconds"] == pytest.approx(record["seconds"]["wall"], abs=0.001)
        assert row["started"].strftime("%Y-%m-%dT%H:%M:%SZ") == record["started"]
    assert error["status"] == "error"
    assert list(run.errors["task"]) == [3]
    assert list(run.errors["error_message"]) == [error["error_message"]]
    assert "success" not in run.errors.columns and len(run.missing) == 0
    assert run.manifest["episodes"] == {"asked": 10, "ok": 9, "error": 1}


def test_rates_and_intervals_are_the_programs(play, program) -> None:
    path = play("run", "--retries=0", f"--sim-option=poison={KEY}", code=4)
    summary = read_run(path).summary.set_index("suite").loc["long"]
    assert (summary["asked"], summary["n"], summary["errors"]) == (10, 9, 1)
    tables = json.loads(program("tables", path, "--format", "json").stdout)
    [row] = [row for row in tables[0]["rows"] if row["status"] == "measured"]
    [cell] = [cell for cell in row["cells"][:4] if cell]
    for name, value in {"rate": "value", "low": "low", "high": "high"}.items():
        assert summary[name] == pytest.approx(cell[value], abs=1e-6), name
    tasks = read_run(path).tasks
    assert tasks["errors"].sum() == 1 and len(tasks) == 10


def test_the_last_record_of_an_episode_counts_and_old_tables_do_not(play, program) -> None:
    path = play("run", "--retries=0", f"--sim-option=raise={KEY}", code=4)
    assert list(read_run(path).errors["task"]) == [3]
    old = path.with_name("old")
    shutil.copytree(path / "tables", old)
    ended = program("resume", path, "--no-progress", "--retries=1")
    assert ended.returncode == 0, ended.stderr
    assert len((path / "episodes.jsonl").read_text().splitlines()) == 11
    shutil.rmtree(path / "tables")
    old.rename(path / "tables")
    run = read_run(path)
    assert len(run.episodes) == 10 and len(run.errors) == 0
    assert list(run.summary["n"]) == [10] and list(run.summary["errors"]) == [0]
    shutil.rmtree(path / "tables")
    assert read_run(path).summary.equals(run.summary)


def test_an_episode_without_a_record_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    words = [
        PROGRAM, "libero", "--simulator", FAKE, "--policy", "random", "--suite", "long",
        "--trials", "2", "--workers", "1", "--sim-option", "step_ms=10", "--out", path,
    ]  # fmt: skip
    playing = subprocess.Popen([str(word) for word in words], stdout=-3, stderr=-3)
    records = path / "episodes.jsonl"
    while not records.exists() or records.read_bytes().count(b"\n") < 2:
        assert playing.poll() is None
        time.sleep(0.05)
    playing.kill()
    playing.wait()
    count = records.read_bytes().count(b"\n")
    with records.open("a") as file:
        file.write('{"suite":"long","task":')
    run = read_run(path)
    assert (len(run.episodes), len(run.errors), len(run.missing)) == (count, 0, 20 - count)
    assert list(run.missing.columns) == ["run", "suite", "task", "instruction", "trial"]
    assert list(run.summary["missing"]) == [20 - count]
    assert run.manifest["status"] == "running"


def test_a_changed_record_is_refused_in_the_programs_words(play) -> None:
    path = play("run")
    records = path / "episodes.jsonl"
    records.write_text(records.read_text().replace('"steps":', '"steps":1', 1))
    with pytest.raises(ProgramError, match="line 1") as refused:
        read_run(path)
    assert refused.value.code == 2


def test_types_are_sound() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", PACKAGE / "udvla_eval"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    assert (PACKAGE / "udvla_eval/py.typed").exists()
