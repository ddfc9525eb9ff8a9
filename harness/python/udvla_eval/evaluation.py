"""A run that is started from Python, and its progress."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from udvla_eval.program import ProgramError, ask, find


@dataclass(frozen=True)
class Progress:
    """How far a run is; `ok` counts episodes that ran to their end, solved or not."""

    state: str
    asked: int
    ok: int
    errors: int
    open: int
    episodes_per_minute: float | None = None
    seconds_left: float | None = None


class Evaluation:
    """A run in a process of its own. Iterating over it yields its progress whenever that changes.

    Leaving the loop does not stop the run. Interrupting it does (Ctrl-C, or the notebook's button).
    """

    def __init__(self, words: list[str], directory: Path, interval: float) -> None:
        self.directory = directory
        self._interval = interval
        self._log = tempfile.TemporaryFile()
        # A session of its own: a notebook interrupts all of its processes, and a second interrupt
        # would stop the run at once.
        self._process = subprocess.Popen(
            [find(), *words, "--no-progress"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self._log, start_new_session=True,
        )  # fmt: skip

    @property
    def exit_code(self) -> int | None:
        """How the program ended (the README lists the codes); none while it runs."""
        return self._process.poll()

    def __iter__(self) -> Iterator[Progress]:
        """Yields progress until the end; `ProgramError` if the program refuses (2) or fails (1)."""
        last, has_ended = None, False
        try:
            while not has_ended:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(self._interval)
                has_ended = self.exit_code is not None
                now = self._progress()
                if now is not None and now != last:
                    last = now
                    yield now
        except KeyboardInterrupt:
            self.stop()
            raise
        code = self._process.returncode
        if code in (1, 2) or code < 0:
            self._log.seek(0)
            text = self._log.read().decode(errors="replace").rpartition("error: ")[2]
            raise ProgramError(code, text.strip())

    def stop(self) -> int:
        """Lets running episodes end, and returns the exit code; an interrupt stops at once."""
        for _ in range(2):
            self._process.send_signal(signal.SIGINT)
            with suppress(KeyboardInterrupt):
                return self._process.wait()
        return self._process.wait()

    def _progress(self) -> Progress | None:
        try:
            run = json.loads(ask("status", "--json", self.directory))["runs"][0]
        except ProgramError:
            return None  # It has no directory yet.
        return Progress(**{field.name: run.get(field.name) for field in fields(Progress)})


def evaluate(
    benchmark: str, *, out: str | Path, interval: float = 1.0, **flags: object
) -> Evaluation:
    """Starts a run of `libero`, `calvin` or `simpler`; one that `out` already holds is continued.

    Flags of the command (docs/cli.md) are written with `_` for `-`: `suite=["long", "goal"]` is
    `--suite long --suite goal`, `save_futures=True` is `--save-futures`. The progress is looked at
    every `interval` seconds.
    """
    return Evaluation([benchmark, f"--out={out}", *_words(flags)], Path(out), interval)


def resume(path: str | Path, *, interval: float = 1.0, **flags: object) -> Evaluation:
    """Continues a run where it stopped, and tries its errors again."""
    return Evaluation(["resume", str(path), *_words(flags)], Path(path), interval)


def _words(flags: dict[str, object]) -> list[str]:
    words = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is True:
                words.append(flag)
            elif one is not None and one is not False:
                words.append(f"{flag}={one}")
    return words
