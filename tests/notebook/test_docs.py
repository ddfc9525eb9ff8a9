"""The Python of docs/python.md runs as it is printed, on the simulator without Python."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import udvla_eval
from conftest import FAKE, ROOT


def test_the_examples_run_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(udvla_eval, "evaluate", partial(udvla_eval.evaluate, simulator=FAKE))
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert isinstance(names["evaluation"], udvla_eval.Evaluation)
    # 130: all episodes had ended, and the report was being written.
    assert names["evaluation"].exit_code in (0, 3, 130)
