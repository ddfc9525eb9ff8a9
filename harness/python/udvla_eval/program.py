"""The program `udvla-eval`: where it is, and what it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "udvla-eval"


class ProgramError(RuntimeError):
    """The program refused (`code` 2) or failed; the text is its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def find() -> str:
    """Path of the program: UDVLA_EVAL, else the folder of this Python, else PATH.

    The text of `FileNotFoundError` says what to type.
    """
    beside = str(Path(sys.executable).parent)
    if named := os.environ.get("UDVLA_EVAL"):
        found, text = shutil.which(named), f"UDVLA_EVAL is `{named}`, which cannot be run"
    else:
        found = shutil.which(NAME, path=beside) or shutil.which(NAME)
        text = f"`{NAME}` is neither in `{beside}` nor on PATH"
    if found is None:
        hint = f'hint: import os; os.environ["UDVLA_EVAL"] = "/path/to/{NAME}"'
        raise FileNotFoundError(f"{text}\n\n{hint}")
    return found


def ask(*words: str | Path) -> str:
    """The standard output of a command; `ProgramError` if it does not end with exit code 0."""
    command = [find(), *map(str, words)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode != 0:
        raise ProgramError(ended.returncode, ended.stderr.strip())
    return ended.stdout
