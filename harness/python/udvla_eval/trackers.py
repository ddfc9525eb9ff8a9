"""TensorBoard, Weights & Biases and Trackio, each through its own package."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

Manifest = dict[str, Any]


class MissingPackageError(RuntimeError):
    """The package of a tracker is not installed."""


class Tracker(ABC):
    """Where records go.

    Attributes:
        sent: Number of records that it has.
        tables_sent: Number of records when it got the tables; 0 without.
    """

    package: ClassVar[str]
    sent = 0
    tables_sent = 0

    @abstractmethod
    def __init__(self, run: Path, manifest: Manifest, options: argparse.Namespace) -> None:
        """Opens it, where it stopped if it has records of this run."""

    @classmethod
    def check(cls) -> None:
        """Raises `MissingPackageError` if the package is not installed."""
        if importlib.util.find_spec(cls.package) is None:
            has_pip = importlib.util.find_spec("pip") is not None
            pip = f"{sys.executable} -m pip install"
            install = pip if has_pip else f"uv pip install --python {sys.executable}"
            raise MissingPackageError(
                f"the package `{cls.package}` is not installed in `{sys.prefix}`\n\n"
                f"hint: {install} {cls.package}"
            )

    @abstractmethod
    def log(self, step: int, numbers: dict[str, float], at: float) -> None:
        """Sends the numbers of an episode that ended at a time, in seconds since 1970."""

    @abstractmethod
    def log_tables(self, step: int, tables: Path) -> None:
        """Sends the tables of `step` records."""

    @abstractmethod
    def close(self) -> None:
        """Waits until everything is sent."""


class TensorBoard(Tracker):
    """Event files. They say themselves what was sent: an episode is one event."""

    package = "tensorboard"

    def __init__(self, run: Path, manifest: Manifest, options: argparse.Namespace) -> None:
        # A folder that is named may hold other runs.
        name = f"{manifest['run']}-{manifest['id'][:8]}"
        self._logdir = options.logdir / name if options.logdir else run / "tracking/tensorboard"
        self._writer: Any = None
        self._read(self._logdir)

    def _read(self, logdir: Path) -> None:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        for file in sorted(logdir.glob("events.out.tfevents.*")):
            for event in EventFileLoader(str(file)).Load():
                tags = [value.tag for value in event.summary.value]
                if "tables/text_summary" in tags:
                    self.tables_sent = max(self.tables_sent, event.step)
                elif tags:
                    self.sent = max(self.sent, event.step)

    def log(self, step: int, numbers: dict[str, float], at: float) -> None:
        """One event, so that a crash leaves all numbers of an episode or none."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
        self._add(step, at, Summary(value=values))

    def log_tables(self, step: int, tables: Path) -> None:
        """The summary as text."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.util.tensor_util import make_tensor_proto

        tensor = make_tensor_proto([(tables / "summary.md").read_text()])
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(tag="tables/text_summary", tensor=tensor, metadata=metadata)
        self._add(step, (tables / "summary.md").stat().st_mtime, Summary(value=[value]))

    def _add(self, step: int, at: float, summary: Any) -> None:  # noqa: ANN401
        from tensorboard.compat.proto.event_pb2 import Event

        if self._writer is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._writer = EventFileWriter(str(self._logdir), flush_secs=2)
        self._writer.add_event(Event(wall_time=at, step=step, summary=summary))

    def close(self) -> None:
        """Flushes."""
        if self._writer is not None:
            self._writer.close()


class Logged(Tracker):
    """A tracker with `init`, `log` and `finish`; what was sent is stored in the run directory."""

    def __init__(self, run: Path, manifest: Manifest, options: argparse.Namespace) -> None:
        self._file = run / f"tracking/{self.package}.json"
        self._file.parent.mkdir(exist_ok=True)
        if self._file.exists():
            stored = json.loads(self._file.read_text())
            self.sent, self.tables_sent = stored["records"], stored["tables"]
        config = {key: manifest[key] for key in ("protocol_fingerprint", "subject", "setting")}
        config["protocol"] = f"{manifest['protocol']['name']} v{manifest['protocol']['version']}"
        self.run = self._open(manifest, config, options)

    @abstractmethod
    def _open(self, manifest: Manifest, config: Manifest, options: argparse.Namespace) -> Any:  # noqa: ANN401
        """Opens the run of the tracker, or continues it."""

    @abstractmethod
    def _table(self, columns: list[Any], rows: list[Any]) -> object:
        """A table as the tracker shows it."""

    def log(self, step: int, numbers: dict[str, float], at: float) -> None:
        """Stored once it is sent; a kill in between sends it again, at the same step."""
        self.run.log(numbers, step=step)
        self._store(records=step, tables=self.tables_sent)

    def log_tables(self, step: int, tables: Path) -> None:
        """Every CSV file as a table."""
        logged = {}
        for file in sorted(tables.glob("*.csv")):
            with file.open(newline="") as lines:
                columns, *rows = csv.reader(lines)
            logged[f"tables/{file.stem}"] = self._table(columns, rows)
        self.run.log(logged, step=step)
        self._store(records=step, tables=step)

    def _store(self, records: int, tables: int) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"records": records, "tables": tables}))
        part.replace(self._file)
        self.sent, self.tables_sent = records, tables

    def close(self) -> None:
        """Uploads the rest."""
        self.run.finish()


class Wandb(Logged):
    """Weights & Biases. Its files stay out of the run directory: they have links that leave it."""

    package = "wandb"

    def _open(self, manifest: Manifest, config: Manifest, options: argparse.Namespace) -> Any:  # noqa: ANN401
        import wandb

        return wandb.init(
            project=options.project,
            id=manifest["id"],
            name=manifest["run"],
            resume="allow",
            dir=options.logdir,
            config=config,
            settings=wandb.Settings(console="off", silent=True),
        )

    def _table(self, columns: list[Any], rows: list[Any]) -> object:
        import wandb

        return wandb.Table(columns=columns, data=rows)


class Trackio(Logged):
    """Trackio, which writes into the folder of TRACKIO_DIR."""

    package = "trackio"

    def _open(self, manifest: Manifest, config: Manifest, options: argparse.Namespace) -> Any:  # noqa: ANN401
        if options.logdir:
            # Read when the package is imported.
            os.environ["TRACKIO_DIR"] = str(options.logdir)
        import trackio

        return trackio.init(
            project=options.project,
            name=f"{manifest['run']}-{manifest['id'][:8]}",
            resume="allow",
            config=config,
            embed=False,
        )

    def _table(self, columns: list[Any], rows: list[Any]) -> object:
        import trackio

        lines = [columns, ["---"] * len(columns), *rows]
        return trackio.Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": Wandb,
}
