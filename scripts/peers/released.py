#!/usr/bin/env python3
"""The released decode loop, restated, to compare tokens and time with on the same weights.

Restates what `denoise` of the released UD-VLA wrappers (commit 97756cc) does, in its own words:
no cache, every position recomputed at every step under an explicit mask, logits of the whole
vocabulary for every position, -inf outside the allowed ids, a draw per position, a ranking by
confidence and annealed Gumbel noise.

    released.py --program target/release/udvla-eval --model nano --attention released

makes the checkpoint, lets `udvla-eval bench decode` measure itself and write its decoding down,
decodes the same here, and compares. Needs torch; runs on one thread of a processor.

`--noise keyed` draws with udvla-eval's own random numbers, so that tokens can be compared;
`--noise torch` draws as the released code does (multinomial and rand of a generator), for time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional

MASK_64 = (1 << 64) - 1
LARGEST = torch.finfo(torch.float32).max


def split_mix(state: int) -> int:
    """One output of SplitMix64 for the state `state`."""
    z = (state + 0x9E3779B97F4A7C15) & MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    return z ^ (z >> 31)


class KeyedNoise:
    """The random numbers of one decoding as udvla-eval keys them (noise version 1)."""

    def __init__(self, key: dict, steps: int, positions: int) -> None:
        """Draws all numbers of `steps` steps over `positions` positions."""
        name = f"udvla-noise-{key['version']}/{key['seed']}/{key['episode']}/{key['call']}"
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        self._draws = [self._uniforms(0, step, positions) for step in range(steps)]
        uniforms = [self._uniforms(1, step, positions).clamp(min=1e-20) for step in range(steps)]
        self._gumbel = [-(-u.log()).clamp(min=1e-20).log() for u in uniforms]

    def _uniforms(self, stream: int, step: int, positions: int) -> torch.Tensor:
        row = split_mix(self._key ^ split_mix(stream << 32 | step))
        numbers = [split_mix((row + at) & MASK_64) >> 12 for at in range(positions)]
        return (torch.tensor(numbers, dtype=torch.float64) + 0.5) * 0.5**52

    def draw(self, probabilities: torch.Tensor, step: int) -> torch.Tensor:
        """An id per row of `probabilities [rows, vocabulary]` by inverse distribution."""
        sums = probabilities.cumsum(-1, dtype=torch.float64)
        wanted = self._draws[step][:, None] * sums[:, -1:]
        return torch.searchsorted(sums, wanted, right=True).clamp(max=sums.shape[1] - 1)[:, 0]

    def gumbel(self, step: int) -> torch.Tensor:
        """The ranking noise of a step, [positions] f64."""
        return self._gumbel[step]


class TorchNoise:
    """The released code's own draws, from one generator seeded for the call."""

    def __init__(self, positions: int) -> None:
        """Seeds the generator as the released wrappers do."""
        self._generator = torch.Generator().manual_seed(42)
        self._positions = positions

    def draw(self, probabilities: torch.Tensor, step: int) -> torch.Tensor:
        """An id per row of `probabilities [rows, vocabulary]`."""
        return torch.multinomial(probabilities, 1, generator=self._generator)[:, 0]

    def gumbel(self, step: int) -> torch.Tensor:
        """The ranking noise of a step, [positions] f32."""
        uniforms = torch.rand(self._positions, generator=self._generator)
        return -(-uniforms.clamp(min=1e-20).log()).clamp(min=1e-20).log()


def read_weights(folder: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of the safetensors files of a folder."""
    kinds = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16}
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        data = bytearray(file.read_bytes())
        start = 8 + int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:start]).items():
            if name != "__metadata__":
                first, last = (start + offset for offset in entry["data_offsets"])
                flat = torch.frombuffer(data[first:last], dtype=kinds[entry["dtype"]])
                weights[name] = flat.reshape(entry["shape"]).to(dtype)
    return weights


class Model:
    """The language model: a Llama-shaped decoder with an explicit mask."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        """Reads configuration and weights of a checkpoint's `model` folder."""
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_weights(folder, dtype)
        self.head = self.config["hidden_size"] // self.config["num_attention_heads"]
        steps = torch.arange(0, self.head, 2, dtype=torch.float32) / self.head
        frequencies = 1.0 / self.config["rope_theta"] ** steps
        places = torch.arange(self.config["max_position_embeddings"], dtype=torch.float32)
        angles = torch.outer(places, frequencies)
        angles = torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Root-mean-square norm in f32, cast back before the weight."""
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return self.weights[f"{name}.weight"] * y.to(x.dtype)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """`x` times the transpose of a weight."""
        return functional.linear(x, self.weights[f"{name}.weight"])

    def attend(self, x: torch.Tensor, mask: torch.Tensor, layer: str) -> torch.Tensor:
        """Self-attention of `x [t, d]` under an additive mask [t, t]."""
        length = x.shape[0]

        def heads(part: str, count: int) -> torch.Tensor:
            projected = self.linear(x, f"{layer}.self_attn.{part}_proj")
            return projected.view(1, length, count, self.head).transpose(1, 2)

        def rotate(y: torch.Tensor) -> torch.Tensor:
            half = self.head // 2
            turned = torch.cat([-y[..., half:], y[..., :half]], -1)
            return y * self.cos[:length] + turned * self.sin[:length]

        count, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        query, key, value = (
            rotate(heads("q", count)),
            rotate(heads("k", groups)),
            heads("v", groups),
        )
        key, value = (part.repeat_interleave(count // groups, 1) for part in (key, value))
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.linear(seen.transpose(1, 2).reshape(length, -1), f"{layer}.self_attn.o_proj")

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the whole vocabulary at every position, [t, vocabulary] f32."""
        x = self.weights["model.embed_tokens.weight"][ids]
        for index in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{index}"
            x = x + self.attend(self.norm(x, f"{layer}.input_layernorm"), mask, layer)
            y = self.norm(x, f"{layer}.post_attention_layernorm")
            gate = functional.silu(self.linear(y, f"{layer}.mlp.gate_proj"))
            y = gate * self.linear(y, f"{layer}.mlp.up_proj")
            x = x + self.linear(y, f"{layer}.mlp.down_proj")
        return self.linear(self.norm(x, "model.norm"), "lm_head").float()

    def released_mask(self, ids: torch.Tensor) -> torch.Tensor:
        """Which keys each query sees by the released rule, from the marks among the ids."""
        config = self.config
        begins = (ids == config["boi_token_id"]) | (ids == config["boa_token_id"])
        ends = (ids == config["eoi_token_id"]) | (ids == config["eoa_token_id"])
        level = (begins.long().cumsum(0) - ends.long().cumsum(0)).clamp(min=0)
        visual = (level > 0) | begins | ends
        flips = torch.zeros_like(ids)
        flips[1:] = visual[1:] != visual[:-1]
        block = flips.cumsum(0)
        place = torch.arange(len(ids))
        before = place[None, :] <= place[:, None]
        return (block[None, :] <= block[:, None]) & (visual[:, None] | before)


def hybrid_mask(parts: dict) -> torch.Tensor:
    """Which keys each query sees by the paper's rule, from the parts of the sequence."""
    views = sum(parts["views"])
    lengths = [parts["text"], views, views, parts["actions"]]
    level = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    place = torch.arange(len(level))
    before = place[None, :] <= place[:, None]
    return (level[None, :] <= level[:, None]) & ((level[:, None] > 0) | before)


def mask_count(positions: int, step: int, steps: int, unknown: int) -> int:
    """How many positions stay unknown; in f32 as released."""
    share = torch.cos(torch.tensor(step / steps, dtype=torch.float32) * math.pi * 0.5)
    return max(1, min(unknown - 1, int((positions * share).floor())))


@torch.no_grad()
def decode(model: Model, case: dict, noise: KeyedNoise | TorchNoise) -> list[int]:
    """Fills the block of a case and returns its ids."""
    dtype = model.weights["lm_head.weight"].dtype
    vocabulary, mask_id = model.config["vocab_size"], case["mask_token_id"]
    block = torch.tensor(case["block"])
    whole = torch.cat([torch.tensor(case["prompt"]), block])
    positions, image = len(block), case["image"]
    temperature, drawn = 1.0, block
    for step in range(1, case["denoise_steps"] + 1):
        ended = (block == case["eoa_token_id"]).nonzero()
        if len(ended) > 0 and ended[0, 0] + 1 < positions:
            whole[len(whole) - positions + ended[0, 0] + 1 :] = mask_id
        released = case["attention"] == "released"
        seen = model.released_mask(whole) if released else hybrid_mask(case["parts"])
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, float("-inf"))
        logits = model.logits(whole, mask)[-positions - 1 : -1]
        for rows, allowed in (
            (slice(0, image), case["image_ids"]),
            (slice(image, None), case["action_ids"]),
        ):
            outside = torch.full((vocabulary,), float("-inf"))
            outside[torch.tensor(allowed)] = 0.0
            logits[rows] = logits[rows] + outside
        probabilities = logits.softmax(-1)
        unknown = block == mask_id
        drawn = torch.where(unknown, noise.draw(probabilities, step - 1), block)
        confidence = probabilities.gather(1, drawn[:, None])[:, 0].double()
        confidence = torch.where(unknown, confidence, torch.tensor(LARGEST, dtype=torch.float64))
        left = mask_count(positions, step, case["denoise_steps"], int(unknown.sum()))
        temperature *= 1.0 - step / case["denoise_steps"]
        rank = confidence.clamp(min=1e-20).log() + temperature * noise.gumbel(step - 1)
        again = rank < rank.sort().values[left]
        block = torch.where(again, torch.tensor(mask_id), drawn)
        whole[-positions:] = block
    return drawn.tolist()


def run_ours(arguments: argparse.Namespace, folder: Path) -> tuple[dict, dict]:
    """Figures and decoding of `udvla-eval bench decode` on the checkpoint in `folder`."""
    out, case = folder.parent / "figures.json", folder.parent / "case.json"
    words = [arguments.program, "bench", "decode", "--checkpoint", folder, "--device", "cpu"]
    words += ["--threads", "1", "--attention", arguments.attention, "--dtype", arguments.dtype]
    words += ["--denoise-steps", arguments.denoise_steps, "--repeats", "1"]
    words += ["--out", out, "--case", case]
    subprocess.run([str(word) for word in words], check=True)
    return json.loads(out.read_text()), json.loads(case.read_text())


def timed(model: Model, case: dict, noise: KeyedNoise | TorchNoise) -> tuple[list[int], float]:
    """The ids of a decoding and the processor time that it took, in seconds."""
    start = time.process_time()
    return decode(model, case, noise), time.process_time() - start


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True, help="udvla-eval")
    parser.add_argument("--model", default="nano", choices=["nano", "medium"])
    parser.add_argument("--attention", default="released", choices=["released", "hybrid"])
    parser.add_argument("--dtype", default="f32", choices=["f32", "f64"])
    parser.add_argument("--denoise-steps", type=int, default=72)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of measurements")
    return parser.parse_args()


def main() -> int:
    """Compares tokens once and time in pairs; 1 when a token differs."""
    options = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "checkpoint"
        make = [options.program, "make-checkpoint", "--preset", options.model, folder]
        subprocess.run([str(word) for word in make], check=True)
        dtype = torch.float64 if options.dtype == "f64" else torch.float32
        model = Model(folder / "model", dtype)
        pairs = []
        for repeat in range(options.repeats):
            figures, case = run_ours(options, folder)
            if repeat == 0:
                steps, positions = case["denoise_steps"], len(case["block"])
                ids, _ = timed(model, case, KeyedNoise(case["noise"], steps, positions))
                differing = [at for at, id in enumerate(ids) if id != case["generated"][at]]
            spent = figures["processor_seconds"]
            ours = spent["prefill"]["median"] + spent["denoise"]["median"]
            _, theirs = timed(model, case, TorchNoise(positions))
            pairs.append({"ours": ours, "peer": theirs, "ratio": theirs / ours})
    ratios = sorted(pair["ratio"] for pair in pairs)
    report = {
        "model": options.model,
        "attention": options.attention,
        "denoise_steps": options.denoise_steps,
        "dtype": options.dtype,
        "torch": torch.__version__,
        "tokens": positions,
        "differing_tokens": differing,
        "processor_seconds": pairs,
        "ratio_median": ratios[len(ratios) // 2],
    }
    print(json.dumps(report, indent=2))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
