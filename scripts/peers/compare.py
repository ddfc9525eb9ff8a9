#!/usr/bin/env python3
"""udvla-eval's decoding beside the released loops, restated, on the same weights in one run.

    scripts/peers/run compare.py --model nano --decoding jd3p --attention released

Both decode the same prompt in turns (udvla-eval, peer, udvla-eval, peer, ...). For time the peer
draws as the released code does; once it draws with udvla-eval's own numbers, so that ids can be
compared. On a processor times are processor seconds of one thread, on a GPU wall seconds; both
are of the decode loop alone. The model `random-8b` has no weights on disk: each side draws its own
on the device, and there are no ids to compare.

Exit code 1: an id differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from loops import decode
from model import KINDS, Model, random_weights, read_weights
from noise import KeyedNoise, TorchNoise


class Pair:
    """Both sides of one comparison."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        """Makes the checkpoint and has udvla-eval export the case."""
        self.options, self.folder = options, folder
        self.on_gpu = options.device != "cpu"
        self.checkpoint = folder / "checkpoint" if options.model != "random-8b" else None
        if self.checkpoint:
            make = [options.program, "make-checkpoint", "--preset", options.model, self.checkpoint]
            run([str(word) for word in make])
        file = folder / "case.json"
        self.figures = self.ours(["--warm-up", "0", "--case", file])
        self.case = json.loads(file.read_text())
        self.peer = self.load()

    def ours(self, more: list) -> dict:
        """Figures of `udvla-eval bench decode`."""
        options, out = self.options, self.folder / "figures.json"
        words = [options.program, "bench", "decode", "--device", options.device]
        words += (
            ["--checkpoint", self.checkpoint] if self.checkpoint else ["--model", options.model]
        )
        words += [] if self.on_gpu else ["--threads", "1"]
        words += ["--decoding", options.decoding, "--attention", options.attention]
        words += ["--dtype", options.dtype, "--repeats", "1", *more]
        if options.decoding in ("jd3p", "id"):
            words += ["--denoise-steps", options.denoise_steps]
        if options.decoding == "id":
            words += ["--action-steps", options.action_steps]
        run([str(word) for word in [*words, "--out", out]])
        return json.loads(out.read_text())

    def load(self) -> Model:
        """The peer's model: the checkpoint's weights or random ones."""
        device, dtype = self.options.device, KINDS[self.options.dtype]
        if self.checkpoint:
            config = json.loads((self.checkpoint / "model" / "config.json").read_text())
            weights = read_weights(self.checkpoint / "model")
        else:
            config = self.case["config"]
            weights = random_weights(config, device, dtype)
        return Model(config, weights, device, dtype)

    def differing(self) -> list[int] | None:
        """Positions at which the two differ with the same noise; nothing without weights."""
        if not self.checkpoint:
            return None
        theirs = decode(self.peer, self.case, KeyedNoise(self.case["noise"]))
        ours = self.case["generated"]
        return [
            at
            for at in range(max(len(ours), len(theirs)))
            if ours[at : at + 1] != theirs[at : at + 1]
        ]

    def timed_pair(self) -> dict:
        """Seconds of both decode loops."""
        # On a GPU the first chunk of a process is slow.
        figures = self.ours(["--warm-up", "1" if self.on_gpu else "0"])
        kind = "seconds" if self.on_gpu else "processor_seconds"
        ours = figures[kind]["prefill"]["median"] + figures[kind]["denoise"]["median"]
        clock = time.perf_counter if self.on_gpu else time.process_time
        self.settle()
        start = clock()
        decode(self.peer, self.case, TorchNoise(self.options.device))
        self.settle()
        theirs = clock() - start
        return {"ours": ours, "peer": theirs, "ratio": theirs / ours}

    def settle(self) -> None:
        """Waits for the device."""
        if self.on_gpu:
            torch.cuda.synchronize()


def run(words: list[str]) -> None:
    """Runs a program and discards its output."""
    # The stand-ins for NVIDIA's libraries are for Python alone.
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    paths = [path for path in paths if path and not path.endswith(".peers/libraries")]
    libraries = os.pathsep.join([str(Path(torch.__file__).parent / "lib"), *paths])
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    done = subprocess.run(words, env=environment, text=True, **streams)
    if done.returncode != 0:
        sys.exit(f"error: `{' '.join(words)}` failed:\n{done.stderr}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, default=Path("target/release/udvla-eval"))
    parser.add_argument("--model", default="nano", choices=["nano", "medium", "random-8b"])
    parser.add_argument("--decoding", default="jd3p", choices=["jd3p", "id", "jacobi", "ar"])
    parser.add_argument("--attention", choices=["released", "hybrid", "causal"])
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--dtype", choices=sorted(KINDS), help="[f32 on cpu, bf16 on a GPU]")
    parser.add_argument("--denoise-steps", type=int, default=72)
    parser.add_argument("--action-steps", type=int, default=28)
    parser.add_argument(
        "--repeats", type=int, default=3, help="pairs of measurements; 0 only compares ids"
    )
    parser.add_argument("--out", type=Path, help="file for the figures [standard output]")
    options = parser.parse_args()
    options.dtype = options.dtype or ("f32" if options.device == "cpu" else "bf16")
    left = options.decoding in ("jacobi", "ar")
    options.attention = options.attention or ("causal" if left else "released")
    return options


def line(report: dict) -> str:
    """The comparison as a sentence."""
    pairs, ratios = report["seconds"], sorted(pair["ratio"] for pair in report["seconds"])
    times = ""
    if pairs:
        ours, peer = (median(pair[side] for pair in pairs) for side in ("ours", "peer"))
        times = (
            f"; udvla-eval {ours:.3f} s, peer {peer:.3f} s, peer / udvla-eval "
            f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    differing = report["differing_ids"]
    if differing is None:
        equal = "ids not compared"
    else:
        equal = f"{report['ids'] - len(differing)} of {report['ids']} ids equal"
    steps = f", {report['denoise_steps']} steps" if report["denoise_steps"] else ""
    return (
        f"{report['model']}, {report['decoding']}, {report['attention']}{steps}, {report['dtype']} "
        f"on {report['device']}: {equal}{times}"
    )


def main() -> int:
    """Compares ids once and time in pairs; 1 when an id differs."""
    options = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        pair = Pair(options, Path(temporary))
        differing = pair.differing()
        if differing is None and options.repeats > 0:
            # The first decoding of a process is slow on a GPU.
            decode(pair.peer, pair.case, TorchNoise(options.device))
        pairs = [pair.timed_pair() for _ in range(options.repeats)]
    steps = options.denoise_steps if options.decoding in ("jd3p", "id") else None
    report = {
        "model": options.model,
        "decoding": options.decoding,
        "attention": options.attention,
        "denoise_steps": steps,
        "dtype": options.dtype,
        "device": pair.figures["setting"]["device"],
        "machine": pair.figures["machine"],
        "software": pair.figures["software"],
        "torch": torch.__version__,
        "date": pair.figures["date"],
        "ids": len(pair.case["generated"]),
        "differing_ids": differing,
        "seconds": pairs,
    }
    print(line(report), file=sys.stderr)
    text = json.dumps(report, indent=2) + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
