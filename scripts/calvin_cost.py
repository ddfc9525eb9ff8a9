"""Measures the CPU time of a control step of CALVIN, without any policy.

A chain is played for one sub-task's 360 steps in chunks of ten random actions; images of both
cameras are rendered after each chunk, after every step, or never.

    PYTHONPATH=sims/python $(udvla-eval setup calvin --print) scripts/calvin_cost.py \
        --calvin-root calvin
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from udvla_sims.calvin import Adapter

PROTOCOL = Path(__file__).resolve().parents[1] / "sims" / "protocols" / "calvin-abcd-d.json"
STEPS = 360


def cost(adapter: Adapter, trial: int, every: int) -> float:
    """CPU seconds of a chain, including its reset.

    Args:
        adapter: a simulator.
        trial: the chain.
        every: control steps between two observations; 0 for none.
    """
    random = np.random.default_rng(trial)
    actions = random.uniform(-0.4, 0.4, (STEPS, 7)).astype(np.float32)
    actions[:, 6] = np.sign(actions[:, 6])
    start = time.process_time()
    adapter.reset("abcd-d", 0, trial)
    if every:
        adapter.observe()
    for index, action in enumerate(actions):
        look = bool(every) and (index + 1) % every == 0
        done = adapter.step(action, look=look).done
        if look:
            adapter.observe()
        if done and index + 1 < STEPS:
            raise RuntimeError(f"chain {trial} was over after {index + 1} steps")
    return time.process_time() - start


def main() -> None:
    """Prints a line per observation interval."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calvin-root", required=True, help="CALVIN checkout")
    parser.add_argument("--chains", type=int, default=5, help="chains of each kind [5]")
    parser.add_argument("--renderer", default="tiny", help="auto, egl, egl-software or tiny [tiny]")
    arguments = parser.parse_args()
    config = {"protocol": json.loads(PROTOCOL.read_text()), "calvin_root": arguments.calvin_root}
    config |= {"images": True, "video": False, "renderer": arguments.renderer, "scratch": "."}
    adapter = Adapter(config)
    adapter.reset("abcd-d", 0, 0)
    print(
        f"renderer {adapter.spec.setting['renderer']}, {arguments.chains} chains of {STEPS} steps"
    )
    looks = {"never": 0, "after each chunk of 10": 10, "after every step": 1}
    for name, every in looks.items():
        spent = [cost(adapter, trial, every) for trial in range(arguments.chains)]
        milliseconds = [1000 * seconds / STEPS for seconds in spent]
        median, largest = np.median(milliseconds), max(milliseconds)
        print(f"images {name}: {median:.1f} ms CPU per control step (at most {largest:.1f})")
    adapter.close()


if __name__ == "__main__":
    main()
