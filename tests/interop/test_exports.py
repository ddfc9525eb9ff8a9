"""Exported results through the packages that read them: verdikt-eval, physim-gate.

Runs in the environment of `scripts/interop.lock`, with pytest from the development tools:
`scripts/test` starts it. The runs are the program's own, on the simulator without Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("UDVLA_EVAL", ROOT / "target/release/udvla-eval"))
FAKE = PROGRAM.with_name("udvla-sim-fake")
TOOLS = Path(sys.executable).parent
GATE = """\
version: 1
metrics:
  success:
    max_absolute_degradation: 0.05
"""


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good and a bad run of 100 episodes each, exported in every format."""
    folder = tmp_path_factory.mktemp("runs")
    for policy in ("random", "idle"):
        ran = run(
            PROGRAM, "libero", "--simulator", FAKE, "--no-progress", "--policy", policy,
            "--suite", "long", "--suite", "goal", "--trials", "5", "--out", folder / policy,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        for form, name in (("lerobot", "json"), ("csv", "csv")):
            file = folder / f"{policy}.{name}"
            ran = run(PROGRAM, "export", folder / policy, "--format", form, "-o", file)
            assert ran.returncode == 0, ran.stderr
    return folder


def solved(folder: Path, policy: str) -> int:
    lines = (folder / policy / "episodes.jsonl").read_text().splitlines()
    return sum(json.loads(line)["stages_completed"] for line in lines)


def test_verdikt_reads_every_episode_of_eval_info(folder: Path) -> None:
    from verdikt.ingest import get

    rollouts = get("lerobot").parse(folder / "random.json")
    assert len(rollouts) == 100
    assert sum(rollout.success for rollout in rollouts) == solved(folder, "random") > 50
    assert {rollout.task for rollout in rollouts} == {"libero_10", "libero_goal"}


@pytest.mark.parametrize(("form", "adapter"), [("json", "lerobot"), ("csv", "csv")])
def test_verdikt_tells_the_better_run(folder: Path, form: str, adapter: str) -> None:
    good, bad = folder / f"random.{form}", folder / f"idle.{form}"
    told = run(TOOLS / "verdikt", "compare", bad, good, "--baseline", "idle", "--adapter", adapter)
    assert told.returncode == 0, told.stdout + told.stderr
    told = run(
        TOOLS / "verdikt", "compare", good, bad, "--baseline", "random", "--adapter", adapter
    )
    assert told.returncode == 1, told.stdout + told.stderr


def test_physim_gate_passes_an_equal_run_and_fails_a_worse_one(folder: Path) -> None:
    config = folder / "gate.yaml"
    config.write_text(GATE)

    def gate(baseline: str, candidate: str) -> subprocess.CompletedProcess[str]:
        return run(
            TOOLS / "physim-gate", "compare", "--adapter", "lerobot", "--config", config,
            "--baseline", folder / f"{baseline}.json", "--candidate", folder / f"{candidate}.json",
        )  # fmt: skip

    # It refuses to compare a file with itself.
    shutil.copy(folder / "random.json", folder / "again.json")
    equal = gate("random", "again")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    worse = gate("random", "idle")
    assert worse.returncode == 1, worse.stdout + worse.stderr
