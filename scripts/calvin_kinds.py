"""Counts how often CALVIN's scripted expert solves each kind of sub-task.

A kind is tried in the first chains of the canonical list that start with it. Kinds that start
too few chains (placing, stacking, the drawer) are tried in the first chains that contain them: the
expert plays the sub-tasks before them, and chains in which one of those fails are skipped.

    PYTHONPATH=sims/python $(udvla-eval setup calvin --print) scripts/calvin_kinds.py \
        --calvin-root calvin
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from udvla_sims.calvin import Adapter, sequences

PROTOCOL = Path(__file__).resolve().parents[1] / "sims" / "protocols" / "calvin-abcd-d.json"


class Count(NamedTuple):
    """Results of a kind of sub-task."""

    name: str
    solved: list[int]
    """Control steps of each solved trial."""
    failed: list[int]
    """Chains in which it was not solved."""
    skipped: int
    """Chains in which a sub-task before it was not solved."""


def count(name: str, root: str, trials: int) -> Count:
    """Plays one kind of sub-task.

    Args:
        name: of the sub-task.
        root: CALVIN's checkout.
        trials: number of trials, if the list has enough chains.
    """
    protocol = json.loads(PROTOCOL.read_text())
    (suite,) = protocol["suites"]
    names = [subtask["name"] for subtask in suite["details"]["subtasks"]]
    chains = sequences.decode(suite["details"]["sequences"]["list"], names)
    order = [index for index, (_, chain) in enumerate(chains) if chain[0] == name]
    if len(order) < trials:
        order = [index for index, (_, chain) in enumerate(chains) if name in chain]
    config = {"protocol": protocol, "calvin_root": root, "images": False, "video": False}
    adapter = Adapter({**config, "renderer": None, "scratch": "."})
    solved, failed, skipped = [], [], 0
    for trial in order:
        if len(solved) + len(failed) == trials:
            break
        before = chains[trial][1].index(name)
        adapter.reset("abcd-d", 0, trial)
        if before and steps_until(adapter, before) is None:
            skipped += 1
            continue
        steps = steps_until(adapter, before + 1)
        if steps is None:
            failed.append(trial)
        else:
            solved.append(steps)
    adapter.close()
    return Count(name, solved, failed, skipped)


def steps_until(adapter: Adapter, stages: int) -> int | None:
    """Control steps of the expert until `stages` stages are completed; none if they never are."""
    steps = 0
    while True:
        progress = adapter.step(adapter.script_action(), look=False)
        steps += 1
        if progress.stage >= stages:
            return steps
        if progress.done:
            return None


def silence() -> None:
    """Discards pybullet's output, which would appear between the rows."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> int:
    """Prints a row per kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calvin-root", required=True, help="CALVIN checkout")
    parser.add_argument("--trials", type=int, default=15, help="tries per kind [15]")
    parser.add_argument("--kind", action="append", help="only this sub-task; may be repeated")
    parser.add_argument("--processes", type=int, default=2, help="simulators at once [2]")
    arguments = parser.parse_args()
    (suite,) = json.loads(PROTOCOL.read_text())["suites"]
    names = [subtask["name"] for subtask in suite["details"]["subtasks"]]
    unknown = set(arguments.kind or []) - set(names)
    if unknown:
        parser.error(f"no sub-task {', '.join(sorted(unknown))}")
    play = partial(count, root=arguments.calvin_root, trials=arguments.trials)
    print("| sub-task | solved | steps | chains skipped | not solved in chain |")
    print("| --- | --- | --: | --: | --- |")
    with ProcessPoolExecutor(arguments.processes, initializer=silence) as pool:
        for row in pool.map(play, arguments.kind or names):
            tries = len(row.solved) + len(row.failed)
            steps = f"{statistics.median(row.solved):.0f}" if row.solved else ""
            failed = ", ".join(map(str, row.failed))
            share = f"{len(row.solved)}/{tries}"
            print(f"| {row.name} | {share} | {steps} | {row.skipped} | {failed} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
