"""Where tests find the simulators' own files: where runs find them, or in `UDVLA_TEST_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLES = {"libero": "UDVLA_LIBERO_ASSETS", "calvin": "CALVIN_ROOT", "simpler": "SIMPLER_ROOT"}


def files_of(benchmark: str) -> str:
    """The folder of a benchmark's files; empty where there is none."""
    data = Path(os.environ.get("UDVLA_TEST_DATA") or "/nowhere")
    home = os.environ.get("UDVLA_HOME") or Path.home() / ".local" / "share" / "udvla-eval"
    fetched = sorted(Path(home, "assets").glob(f"{benchmark}-*"))
    given = os.environ.get(VARIABLES[benchmark])
    candidates = [data / benchmark, *([Path(given)] if given else []), *fetched]
    return next((str(folder) for folder in candidates if folder.is_dir()), "")


def needs_files(benchmark: str) -> pytest.MarkDecorator:
    """Skips a test where the benchmark's files are not on this machine."""
    return pytest.mark.skipif(not files_of(benchmark), reason=reason(benchmark))


def reason(benchmark: str) -> str:
    """Why tests are skipped, with the command that changes it."""
    flag = "--assets" if benchmark == "libero" else "--scene"
    return f"{benchmark}: its files are not here (udvla-eval setup {benchmark} {flag})"
