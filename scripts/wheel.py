"""Builds the wheel (PEP 517): what the program starts is built here, maturin packs all of it.

`python scripts/wheel.py` stops before maturin, for a release that calls it with options of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import maturin
from maturin import build_sdist, get_requires_for_build_sdist, get_requires_for_build_wheel

__all__ = [
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]
ROOT = Path(__file__).resolve().parents[1]
# `tool.maturin.data` of pyproject.toml.
DATA = ROOT / "target/wheel/udvla_eval.data/data"
PROGRAMS = (
    "udvla-eval-model",
    "udvla-sim-fake",
    "udvla-sim-worker",
    "libudvla_worker.so",
    "libudvla_vulkan_layer.so",
)
CHECKPOINTS = ("udvla-nano", "udvla-nano-stand-ins")


def stage() -> None:
    """Builds the programs and puts them, and the adapters, where maturin takes them from."""
    subprocess.run([ROOT / "scripts/libtorch", sys.executable], check=True)
    subprocess.run(["cargo", "build", "--release", "--workspace", "--locked"], cwd=ROOT, check=True)
    built = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release"
    shutil.rmtree(DATA, ignore_errors=True)
    programs, share = DATA / "libexec/udvla-eval", DATA / "share/udvla-eval"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy2(built / name, programs / name)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sims/python/udvla_sims", share / "python/udvla_sims", ignore=unwanted)
    for name in CHECKPOINTS:
        shutil.copytree(ROOT / "policies/nano" / name, share / name)
    shutil.copy2(ROOT / "scripts/lavapipe", share / "lavapipe")


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, str] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Name of the wheel in `wheel_directory`."""
    stage()
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


if __name__ == "__main__":
    stage()
