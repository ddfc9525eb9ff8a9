"""The workflow files: every step is there, and what it runs exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/udvla-eval"
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(file: Path) -> list[dict]:
    jobs = yaml.safe_load(file.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_there_is_one_for_a_gpu_and_one_for_any_runner() -> None:
    names = ["ci.yml", "gpu.yml", "release.yml", "smoke.yml"]
    assert [file.name for file in FILES] == names
    gpu = FILES[1]
    # PyYAML reads the word `on` as true.
    inputs = yaml.safe_load(gpu.read_text())[True]["workflow_dispatch"]["inputs"]
    assert {"benchmark", "size", "checkpoint"} <= inputs.keys()
    names = [step.get("name") for step in steps(gpu)]
    order = ["Doctor", "Run", "Tables", "Gate", "Summary"]
    assert [name for name in names if name in order] == order


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_steps_are_sound_shell_and_name_commands_that_exist(file: Path) -> None:
    scripts = [step["run"] for step in steps(file) if "run" in step]
    assert scripts
    for script in scripts:
        # Inputs come through the environment: in the text they could be commands.
        assert "${{" not in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for name in re.findall(r"scripts/[a-z-]+", script):
            assert (ROOT / name).is_file(), name
        for command in re.findall(r"target/release/udvla-eval ([a-z]\S*)", script):
            helped = subprocess.run([PROGRAM, command, "--help"], capture_output=True, check=False)
            assert helped.returncode == 0, command
