"""`udvla_eval.evaluate`: progress, exit codes, stop and resume; where the program is found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import FAKE, PROGRAM
from udvla_eval import ProgramError, evaluate, program, read_run, resume

FLAGS = {"simulator": FAKE, "policy": "random", "suite": ["long"], "workers": 1, "interval": 0.1}


def test_progress_is_yielded_and_ends_with_the_exit_code(tmp_path: Path) -> None:
    run = evaluate("libero", out=tmp_path / "run", trials=2, sim_option="step_ms=5", **FLAGS)
    seen = list(run)
    assert run.exit_code == 0
    counts = [progress.ok for progress in seen]
    assert counts == sorted(counts) and len(set(counts)) > 1, counts
    assert "running" in {progress.state for progress in seen}
    last = seen[-1]
    assert (last.state, last.asked, last.ok, last.errors, last.open) == ("complete", 20, 20, 0, 0)
    assert len(read_run(run.directory).episodes) == 20


def test_errors_are_counted_and_have_their_exit_code(tmp_path: Path) -> None:
    run = evaluate(
        "libero", out=tmp_path / "run", trials=1, retries=0, video=None,
        sim_option=["poison=long-task03-trial000", "step_ms=0"], **FLAGS,
    )  # fmt: skip
    *_, last = run
    assert (last.state, last.ok, last.errors) == ("complete-with-errors", 9, 1)
    assert run.exit_code == 4


def test_a_refusal_is_raised_in_the_programs_words(tmp_path: Path) -> None:
    run = evaluate("libero", out=tmp_path / "run", **{**FLAGS, "suite": "long", "policy": "nobody"})
    with pytest.raises(ProgramError, match="nobody") as refused:
        list(run)
    assert refused.value.code == run.exit_code == 2


def test_a_stopped_run_is_resumed(tmp_path: Path) -> None:
    run = evaluate("libero", out=tmp_path / "run", trials=2, sim_option="step_ms=3", **FLAGS)
    for progress in run:
        if progress.ok >= 2:
            break
    assert run.exit_code is None, "leaving the loop stops nothing"
    assert run.stop() == run.exit_code == 3
    open_ = len(read_run(run.directory).missing)
    assert open_ > 0
    again = resume(run.directory, interval=0.1)
    *_, last = again
    assert (last.state, last.ok, again.exit_code) == ("complete", 20, 0)
    assert len(read_run(run.directory).episodes) == 20


def test_an_interrupt_of_the_loop_stops_the_run(tmp_path: Path) -> None:
    run = evaluate("libero", out=tmp_path / "run", trials=2, sim_option="step_ms=3", **FLAGS)
    progress = iter(run)
    next(progress)
    with pytest.raises(KeyboardInterrupt):
        progress.throw(KeyboardInterrupt())
    assert run.exit_code == 3


def test_the_program_is_found_in_the_documented_order(monkeypatch, tmp_path: Path) -> None:
    for name in ("beside", "path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "udvla-eval").symlink_to(PROGRAM)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside/python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert program.find() == str(PROGRAM)
    monkeypatch.delenv("UDVLA_EVAL")
    assert program.find() == str(tmp_path / "beside/udvla-eval")
    (tmp_path / "beside/udvla-eval").unlink()
    assert program.find() == str(tmp_path / "path/udvla-eval")
    (tmp_path / "path/udvla-eval").unlink()
    with pytest.raises(FileNotFoundError, match=r'os.environ\["UDVLA_EVAL"\] = '):
        program.find()
    monkeypatch.setenv("UDVLA_EVAL", "/nowhere/udvla-eval")
    with pytest.raises(FileNotFoundError, match="`/nowhere/udvla-eval`, which cannot be run"):
        program.find()
