#!/usr/bin/env python3
"""Plays a run on a Ray cluster: its parts as tasks, and the parts as one run at the end.

    scripts/ray_eval.py --out /shared/long --parts 16 --gpus 1 --cpus 8 -- libero --suite long

DIR (`--out`) is on a file system that all nodes share, and the program has the same path on all of
them. The parts are in DIR/part-1 and so on, the whole run is in DIR/merged. Ray places the parts,
and plays a part again elsewhere when its node is lost; the part goes on after its last record. The
same command continues after the driver was stopped. See docs/python.md.

Exit codes are those of `udvla-eval`: 0 complete, 2 refused, 3 interrupted, 4 some episodes could
not be run, 5 a part gave up; 1 if a part failed or was lost more often than `--retries`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ray

COMPLETE, FAILED, REFUSED, INTERRUPTED, WITH_ERRORS, GAVE_UP = range(6)
STOPPED_AT_ONCE = 130
KEPT_LINES = 40
# Names begin with one of these; the nodes do not know what is set where the driver is started.
VARIABLES = ("UDVLA_", "CALVIN_ROOT", "SIMPLER_ROOT")


class PartStoppedError(Exception):
    """A part ended although nothing is wrong with it: Ray plays it again."""


@dataclass(frozen=True)
class Part:
    """A part of the run, and how it is played."""

    program: str
    words: list[str]
    part: str
    directory: str
    here: str
    variables: dict[str, str]


def play(part: Part) -> tuple[int, str]:
    """Plays a part, or the rest of it, and returns the program's exit code and its last lines.

    Raises:
        PartStoppedError: If the part was interrupted, or the program or its machine failed.
    """
    wait_for_others(part.program, part.directory)
    # Of a directory that holds a run, the same command plays the rest.
    own = ["--part", part.part, "--out", part.directory, "--no-progress"]
    process = subprocess.Popen(
        [part.program, *part.words, *own], cwd=part.here, env={**os.environ, **part.variables},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=prepare_signals,
    )  # fmt: skip
    try:
        log = log_of(process)
    except KeyboardInterrupt:
        # How Ray cancels a task. Running episodes are finished.
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    lines = "\n".join(log.splitlines()[-KEPT_LINES:])
    code = process.returncode
    if code in (FAILED, INTERRUPTED, STOPPED_AT_ONCE) or code < 0:
        raise PartStoppedError(f"part {part.part} ended with {code}\n{lines}")
    return code, lines


def log_of(process: subprocess.Popen[str]) -> str:
    """Waits for the end of the program, and returns what it printed."""
    while True:
        # Ray's way to cancel a task ends no system call.
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=1)[1]


def prepare_signals() -> None:
    """In the child: interrupts arrive, and the end of the Ray worker kills it.

    Ray's processes block or ignore interrupts, which a child inherits. A program that outlives its
    worker would hold on to the part.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def wait_for_others(program: str, directory: str) -> None:
    """Waits while another process plays the part: on a node that Ray has lost, but that runs."""
    while any(run["state"] in ("running", "starting") for run in status(program, [directory])):
        time.sleep(1)


def status(program: str, directories: list[str]) -> list[dict]:
    """What `udvla-eval status` says of the runs that are there."""
    command = [program, "status", "--json", *directories]
    asked = subprocess.run(command, capture_output=True, text=True)
    # Exit code 2: there is none yet.
    return json.loads(asked.stdout)["runs"] if asked.returncode == COMPLETE else []


def show(program: str, directories: list[str], last: str) -> str:
    """Prints how far the parts are, if that has changed, and returns the line."""
    runs = status(program, directories)
    counts = {name: sum(run[name] for run in runs) for name in ("asked", "ok", "errors")}
    states = [run["state"] for run in runs]
    line = (
        f"{len(runs)} of {len(directories)} parts begun, {states.count('running')} running:"
        f" {counts['ok']} of {counts['asked']} episodes, {counts['errors']} errors"
    )
    if line != last:
        print(line, file=sys.stderr, flush=True)
    return line


def play_all(arguments: argparse.Namespace, directories: list[str]) -> list[int]:
    """Exit codes of all parts, played as Ray tasks."""
    given = {name: text for name, text in os.environ.items() if name.startswith(VARIABLES)}
    here = str(Path.cwd())
    remote = ray.remote(
        num_cpus=arguments.cpus,
        num_gpus=arguments.gpus,
        max_retries=arguments.retries,
        retry_exceptions=[PartStoppedError],
        scheduling_strategy="SPREAD",
    )(play)
    parts = ((f"{number}/{len(directories)}", one) for number, one in enumerate(directories, 1))
    tasks = [
        remote.remote(Part(arguments.program, arguments.words, part, directory, here, given))
        for part, directory in parts
    ]
    try:
        return wait(arguments, directories, tasks)
    except BaseException:
        for task in tasks:
            ray.cancel(task)
        # Until the programs have finished their episodes.
        ray.wait(tasks, num_returns=len(tasks))
        raise


def wait(
    arguments: argparse.Namespace, directories: list[str], tasks: list[ray.ObjectRef]
) -> list[int]:
    """Exit codes of the tasks; shows progress, and stops at the first refusal."""
    codes, line = [], ""
    while tasks:
        done, tasks = ray.wait(tasks, timeout=arguments.interval)
        for code, lines in ray.get(done):
            if code == REFUSED:
                print(lines, file=sys.stderr)
                sys.exit(REFUSED)
            codes.append(code)
        line = show(arguments.program, directories, line)
    return codes


def parse() -> argparse.Namespace:
    """The command line; everything after `--` is a command of `udvla-eval`."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--parts", type=int, required=True, metavar="N", help="number of parts")
    parser.add_argument("--cpus", type=float, default=1, help="processor cores per part")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs per part")
    parser.add_argument("--retries", type=int, default=3, help="how often a lost part is continued")
    parser.add_argument("--address", help="the cluster [default: RAY_ADDRESS, else this machine]")
    parser.add_argument("--interval", type=float, default=10, help="seconds between two looks")
    parser.add_argument(
        "--program",
        default=os.environ.get("UDVLA_EVAL") or shutil.which("udvla-eval"),
        help="path of udvla-eval on every node [default: UDVLA_EVAL, else as found on PATH]",
    )
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="after --: libero --suite long")
    arguments = parser.parse_args()
    if arguments.program is None:
        parser.error("`udvla-eval` is not on PATH: pass `--program`")
    if arguments.out.joinpath("merged").exists():
        parser.error(f"`{arguments.out}/merged` exists: remove it to merge the parts again")
    # A task starts in a folder of Ray's.
    arguments.out = arguments.out.absolute()
    arguments.program = str(Path(arguments.program).absolute())
    return arguments


def main() -> int:
    """Plays all parts and merges them."""
    arguments = parse()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    ray.init(address=arguments.address, log_to_driver=False)
    directories = [str(out / f"part-{number}") for number in range(1, arguments.parts + 1)]
    try:
        codes = play_all(arguments, directories)
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except (ray.exceptions.RayError, PartStoppedError) as error:
        cause = getattr(error, "cause", None) or error
        print(f"error: a part could not be played: {cause}", file=sys.stderr)
        return FAILED
    if GAVE_UP in codes:
        print("error: a part gave up; the same command continues", file=sys.stderr)
        return GAVE_UP
    merge = [arguments.program, "merge", str(out / "merged"), *directories]
    return subprocess.run(merge).returncode


if __name__ == "__main__":
    sys.exit(main())
