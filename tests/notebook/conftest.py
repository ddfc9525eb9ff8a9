"""The package, and runs of the program on the simulator without Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("UDVLA_EVAL", ROOT / "target/release/udvla-eval"))
FAKE = PROGRAM.with_name("udvla-sim-fake")
PACKAGE = ROOT / "harness/python"
sys.path.insert(0, str(PACKAGE))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process and those that it starts."""
    monkeypatch.setenv("UDVLA_EVAL", str(PROGRAM))
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{PACKAGE}:{before}" if before else str(PACKAGE))


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in (PROGRAM, *words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


@dataclass
class Play:
    """Plays runs of ten episodes, one per task."""

    program: Callable[..., subprocess.CompletedProcess[str]]
    folder: Path

    def ended(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """How the program ended."""
        return self.program(
            "libero", "--simulator", FAKE, "--no-progress", "--policy", "random",
            "--suite", "long", "--trials", "1", "--out", self.folder / name, *words,
        )  # fmt: skip

    def __call__(self, name: str, *words: str, code: int = 0) -> Path:
        """The run directory."""
        ended = self.ended(name, *words)
        assert ended.returncode == code, ended.stderr
        return self.folder / name


@pytest.fixture
def play(program, tmp_path: Path) -> Play:
    """Plays runs in the test's folder."""
    return Play(program, tmp_path)
