"""Follows a run directory and sends its records to a tracker: `python -m udvla_eval.track`.

A process of its own that only reads `run.json`, `episodes.jsonl` and `tables/`: whatever happens to
it, the run is not touched. The step of an episode is its line in `episodes.jsonl`, from 1.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from udvla_eval.trackers import TRACKERS, MissingPackageError, Tracker

Record = dict[str, Any]
# How long to wait for the tables of a run that has ended.
TABLES_TIMEOUT = 60.0


class Records:
    """The lines of `episodes.jsonl`, as they are appended."""

    def __init__(self, run: Path) -> None:
        self._path = run / "episodes.jsonl"
        self._offset = 0

    def new(self) -> list[Record]:
        """Records since the last call, without a line that has no end yet.

        A line that a crash cut short is removed by the run that resumes, and never counted here.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines = file.read()
        except FileNotFoundError:
            return []
        lines = lines[: lines.rfind(b"\n") + 1]
        self._offset += len(lines)
        return [json.loads(line) for line in lines.splitlines()]


@dataclass
class Suite:
    """Counts of a suite; the last record of an episode counts."""

    last: dict[tuple[int, int], Record] = field(default_factory=dict)
    n: int = 0
    errors: int = 0
    solved: int = 0
    completed: int = 0

    def add(self, record: Record) -> dict[str, float]:
        """The suite's numbers after a record."""
        key = (record["task"], record["trial"])
        if key in self.last:
            self._count(self.last[key], -1)
        self.last[key] = record
        self._count(record, 1)
        numbers: dict[str, float] = {"n": self.n, "errors": self.errors}
        if self.n > 0:
            numbers["success_rate"] = self.solved / self.n
            if record["stages"] > 1:
                numbers["average_length"] = self.completed / self.n
        if record["status"] == "ok":
            numbers["steps"] = record["steps"]
        return {f"{record['suite']}/{name}": number for name, number in numbers.items()}

    def _count(self, record: Record, by: int) -> None:
        if record["status"] != "ok":
            self.errors += by
            return
        self.n += by
        self.solved += by * (record["stages_completed"] == record["stages"])
        self.completed += by * record["stages_completed"]


class Follower:
    """Sends what a tracker does not have yet."""

    def __init__(self, run: Path, arguments: argparse.Namespace) -> None:
        self._run = run
        self._arguments = arguments
        self._records = Records(run)
        self._suites: dict[str, Suite] = defaultdict(Suite)
        self._step = 0
        self._tracker: Tracker | None = None

    def send(self) -> None:
        """Sends new records."""
        for record in self._records.new():
            # Opened with the first record: then the manifest is complete.
            tracker = self._tracker = self._tracker or self._open()
            self._step += 1
            numbers = self._suites[record["suite"]].add(record)
            if self._step > tracker.sent:
                tracker.log(self._step, numbers, ended(record))

    def finish(self) -> None:
        """Sends the tables of a run that has ended, and waits until everything is sent."""
        if self._tracker is None:
            return
        tables = self._run / "tables"
        if self._step > self._tracker.tables_sent and (tables / "summary.csv").exists():
            self._tracker.log_tables(self._step, tables)
        self._tracker.close()

    def _open(self) -> Tracker:
        name: str = self._arguments.to
        manifest = json.loads((self._run / "run.json").read_text())
        return TRACKERS[name](self._run, manifest, self._arguments)


def ended(record: Record) -> float:
    """When an episode ended, in seconds since 1970."""
    started = datetime.fromisoformat(record["started"].replace("Z", "+00:00"))
    return started.timestamp() + float(record["seconds"]["wall"])


def has_ended(run: Path) -> bool:
    """Whether the run has ended and its tables are written."""
    try:
        manifest = run / "run.json"
        if json.loads(manifest.read_text())["status"] == "running":
            return False
        end = manifest.stat().st_mtime
        # Written after the tables.
        page = run / "report.html"
        is_written = page.exists() and page.stat().st_mtime >= end
        return is_written or time.time() - end > TABLES_TIMEOUT
    except FileNotFoundError:
        return False


def wait(seconds: float, stdin: int | None) -> bool:
    """Waits; whether the parent's end of the pipe was closed."""
    if stdin is None:
        time.sleep(seconds)
        return False
    readable, _, _ = select.select([stdin], [], [], seconds)
    return bool(readable) and os.read(stdin, 4096) == b""


def follow(run: Path, arguments: argparse.Namespace) -> None:
    """Follows a run to its end."""
    stdin = sys.stdin.fileno() if arguments.until_stdin_closes else None
    if stdin is None and not (run / "run.json").exists():
        print(f"waiting for a run in `{run}`", file=sys.stderr)
    follower = Follower(run, arguments)
    is_over = False
    while not is_over:
        # Asked before the records are read: none can come after the answer.
        is_over = wait(arguments.interval, stdin) or (stdin is None and has_ended(run))
        follower.send()
    follower.finish()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser("python -m udvla_eval.track", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run directory")
    parser.add_argument("--to", required=True, choices=sorted(TRACKERS), help="the tracker")
    parser.add_argument("--logdir", type=Path, help="where a tracker writes its files")
    parser.add_argument("--project", default="udvla-eval", help="project of wandb or trackio")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two looks")
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="follow until the standard input closes instead of until the run has ended",
    )
    parser.add_argument("--check", action="store_true", help="only look for the tracker's package")
    return parser


def main() -> int:
    """Exit code: 0 all sent, 1 the tracker failed, 2 wrong usage or a missing package."""
    arguments = parser().parse_args()
    if arguments.until_stdin_closes:
        # Signals are for the run, which says by its pipe when it has ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    try:
        TRACKERS[arguments.to].check()
        if not arguments.check:
            follow(arguments.run, arguments)
    except MissingPackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        print(f"error: {arguments.to} failed, the run is not affected: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
