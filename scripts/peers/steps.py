#!/usr/bin/env python3
"""What a LIBERO control step costs in udvla-eval, in vla-eval and in LIBERO's plain loop.

    scripts/peers/steps.py --assets DIR

Processor milliseconds per control step of the process that steps the simulator, on one thread,
without its start and its reset: two runs of different length are subtracted. All render with
OSMesa. udvla-eval looks once per chunk of ten, the others render both cameras at every step, as
they do. The three take turns, `--rounds` times. Needs what scripts/test sets up: LIBERO's
environment, `.clients` (vla-eval) and `.peers` (torch, for vla-eval's LIBERO).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from together import ROOT, Together

# Control steps of the shorter and the longer run.
SHORT, LONG = 10, 110
PLAIN = """
import sys
from libero.libero import benchmark, get_libero_path
from libero.libero.envs import OffScreenRenderEnv
import os
suite = benchmark.get_benchmark_dict()["libero_" + sys.argv[1]]()
task = suite.get_task(0)
file = os.path.join(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file)
env = OffScreenRenderEnv(bddl_file_name=file, camera_heights=256, camera_widths=256)
env.seed(7)
env.reset()
for step in range(10 + int(sys.argv[2])):
    env.step([0.0] * 6 + [-1.0])
env.close()
"""


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of the children that `work` waits for."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    work()
    return used() - before


def checked(ended: subprocess.CompletedProcess[str]) -> None:
    """Ends the program if a run failed."""
    if ended.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, ended.args))}\n{ended.stdout}{ended.stderr}")


def per_step(run: Callable[[int], object]) -> float:
    """Milliseconds per control step, by two runs of different length."""
    short, long = (processor_seconds(lambda steps=steps: run(steps)) for steps in (SHORT, LONG))
    return 1000 * (long - short) / (LONG - SHORT)


def ours(program: Path, assets: Path, suite: str) -> dict[str, float]:
    """Milliseconds per control step of udvla-eval's worker, without and with images."""
    command = [program, "bench", "sims", "libero", "--suite", suite, "--steps", "200"]
    ended = subprocess.run(
        command, env={**os.environ, "UDVLA_LIBERO_ASSETS": str(assets), "MUJOCO_GL": "osmesa"},
        capture_output=True, text=True,
    )  # fmt: skip
    checked(ended)
    figures = json.loads(ended.stdout)
    steps = {kind: figures[kind]["steps_per_processor_second"] for kind in KINDS}
    return {kind: 1000 / rate for kind, rate in steps.items()}


KINDS = ("without_images", "with_images")


def server(program: Path, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A policy server for vla-eval's protocol; its time is not counted."""
    checkpoint = folder / "nano"
    checked(
        subprocess.run([program, "make-checkpoint", checkpoint], capture_output=True, text=True)
    )
    command = [
        program, "serve", "--protocol", "vla-eval", "--benchmark", "libero", "--port", "0",
        "--device", "cpu", "--denoise-steps", "1", "--checkpoint", checkpoint,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    found = re.search(r"ws://\S+", process.stdout.readline())
    if found is None:
        sys.exit("error: the policy server does not start")
    return process, found[0]


def main() -> None:
    """Measures and prints a table, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="LIBERO's meshes and textures")
    parser.add_argument("--suite", default="spatial", help="its task 0 is played")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/udvla-eval")
    parser.add_argument("--clients", type=Path, help="folder of packages with vla-eval")
    options = parser.parse_args()
    clients = options.clients or next((ROOT / ".clients/lib").glob("python3*/site-packages"))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ |= {"MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "osmesa"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "together").mkdir()
        assets, program = options.assets.resolve(), options.program.resolve()
        together = Together.make(program, assets, clients, folder / "together")
        process, url = server(program, folder)
        plain = folder / "plain.py"
        plain.write_text(PLAIN)
        suite = options.suite
        sides: dict[str, Callable[[int], None]] = {
            "plain loop": lambda n: checked(together.run(plain, suite, str(n))),
            "vla-eval": lambda n: checked(together.vla_eval(url, f"libero_{suite}", 1, n)),
        }
        rows: dict[str, list[float]] = {}
        try:
            for _ in range(options.rounds):
                for kind, milliseconds in ours(program, assets, suite).items():
                    rows.setdefault(f"udvla-eval {kind.replace('_', ' ')}", []).append(milliseconds)
                for side, run in sides.items():
                    rows.setdefault(side, []).append(per_step(run))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    base = median(rows["udvla-eval with images"])
    for side, all_ in rows.items():
        print(
            f"{side:<28}{median(all_):8.1f} ms ({min(all_):.1f} to {max(all_):.1f})"
            f"{median(all_) / base:8.2f}x",
            file=sys.stderr,
        )
    print(json.dumps({"suite": suite, "milliseconds_per_control_step": rows}, indent=2))


if __name__ == "__main__":
    main()
