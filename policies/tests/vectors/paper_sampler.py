"""Writes paper_sampler.json: the paper's sampler worked out without the program under test.

A transformer of two layers in plain Python numbers, weights and noise from the golden formula, and
the sampler as policies/src/udvla/sampler.rs states it. Run: python3 paper_sampler.py
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

M64 = (1 << 64) - 1
IDS = {"boi": 30, "eoi": 31, "boa": 20, "eoa": 21, "mask": 22}
WIDTH, INNER, HEADS, KEY_HEADS, VOCAB, LAYERS = 32, 48, 4, 2, 64, 2
HEAD = WIDTH // HEADS


def uniform(name: str, count: int) -> list[float]:
    seed = zlib.crc32(name.encode()) << 32
    numbers = []
    for index in range(count):
        z = (seed + index + 0x9E3779B97F4A7C15) & M64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        z ^= z >> 31
        numbers.append(((z >> 11) + 0.5) * 2.0**-53)
    return numbers


def weight(name: str, *shape: int) -> list:
    series = [2 * u - 1 for u in uniform(name, math.prod(shape))]
    if len(shape) == 1:
        return [1 + 0.1 * u for u in series]
    scale = 1.0 if "embed" in name else math.sqrt(3 / shape[1])
    rows = [series[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
    return [[u * scale for u in row] for row in rows]


def times(matrix: list, vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def norm(x: list[float], scale: list[float]) -> list[float]:
    root = math.sqrt(sum(v * v for v in x) / len(x) + 1e-5)
    return [v / root * s for v, s in zip(x, scale)]


def rotate(x: list[float], position: int) -> list[float]:
    half = HEAD // 2
    out = list(x)
    for i in range(half):
        angle = position * 1e6 ** (-2 * i / HEAD)
        cos, sin = math.cos(angle), math.sin(angle)
        out[i] = x[i] * cos - x[i + half] * sin
        out[i + half] = x[i + half] * cos + x[i] * sin
    return out


class Model:
    def __init__(self) -> None:
        keys = KEY_HEADS * HEAD
        self.embed = weight("model.embed_tokens.weight", VOCAB, WIDTH)
        self.norm = weight("model.norm.weight", WIDTH)
        self.head = weight("lm_head.weight", VOCAB, WIDTH)
        shapes = {
            "input_layernorm": (WIDTH,),
            "post_attention_layernorm": (WIDTH,),
            "self_attn.q_proj": (WIDTH, WIDTH),
            "self_attn.k_proj": (keys, WIDTH),
            "self_attn.v_proj": (keys, WIDTH),
            "self_attn.o_proj": (WIDTH, WIDTH),
            "mlp.gate_proj": (INNER, WIDTH),
            "mlp.up_proj": (INNER, WIDTH),
            "mlp.down_proj": (WIDTH, INNER),
        }
        self.layers = [
            {n: weight(f"model.layers.{i}.{n}.weight", *s) for n, s in shapes.items()}
            for i in range(LAYERS)
        ]

    def logits(self, ids: list[int], sees) -> list[list[float]]:
        states = [list(self.embed[i]) for i in ids]
        for layer in self.layers:
            states = self.layer(layer, states, sees)
        return [times(self.head, norm(x, self.norm)) for x in states]

    def layer(self, w: dict, states: list, sees) -> list:
        def heads(part: str, count: int, turn: bool) -> list:
            rows = [times(w[part], norm(x, w["input_layernorm"])) for x in states]
            split = [[r[h * HEAD : (h + 1) * HEAD] for h in range(count)] for r in rows]
            return [[rotate(v, p) for v in r] if turn else r for p, r in enumerate(split)]

        q = heads("self_attn.q_proj", HEADS, True)
        k = heads("self_attn.k_proj", KEY_HEADS, True)
        v = heads("self_attn.v_proj", KEY_HEADS, False)
        out = []
        for p, x in enumerate(states):
            seen = [j for j in range(len(states)) if sees(p, j)]
            joined: list[float] = []
            for h in range(HEADS):
                g = h * KEY_HEADS // HEADS
                scores = [
                    sum(a * b for a, b in zip(q[p][h], k[j][g])) / math.sqrt(HEAD) for j in seen
                ]
                top = max(scores)
                e = [math.exp(s - top) for s in scores]
                total = sum(e)
                joined += [sum(a / total * v[j][g][d] for a, j in zip(e, seen)) for d in range(HEAD)]
            x = [a + b for a, b in zip(x, times(w["self_attn.o_proj"], joined))]
            y = norm(x, w["post_attention_layernorm"])
            gate, up = times(w["mlp.gate_proj"], y), times(w["mlp.up_proj"], y)
            inner = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)]
            out.append([a + b for a, b in zip(x, times(w["mlp.down_proj"], inner))])
        return out


def softmax(logits: list[float], temperature: float) -> list[float]:
    top = max(logits)
    e = [math.exp((x - top) / temperature) for x in logits]
    total = sum(e)
    return [x / total for x in e]


def case(model: Model, attention: str, steps: int, temperature: float) -> dict:
    text, view, slots = 3, 6, 7
    prompt = [1, 2, 3, IDS["boi"], 5, 9, 6, 4, IDS["eoi"]]
    image, action = list(range(10)), [10, 11, 12, 13, IDS["eoa"]]
    block = [IDS["boi"]] + [IDS["mask"]] * (view - 2) + [IDS["eoi"], IDS["boa"]]
    block += [IDS["mask"]] * (slots - 1)
    ends = [len(prompt), len(prompt) + view, len(prompt) + view + slots]
    trace = []
    for step in range(1, steps + 1):
        end = block.index(IDS["eoa"]) if IDS["eoa"] in block else None
        shown = [IDS["mask"] if end is not None and i > end else x for i, x in enumerate(block)]
        cut = len(prompt) + (len(block) if end is None else end + 1)

        def sees(query: int, key: int) -> bool:
            if query < text or (attention == "released" and query >= cut):
                return key <= query
            if attention == "released":
                return key < cut
            return key < next(e for e in ends if query < e)

        logits = model.logits(prompt + shown, sees)
        noise = uniform(f"sample/{step - 1}", len(block))
        masked = [i for i, x in enumerate(block) if x == IDS["mask"]]
        confidence = {}
        for i in masked:
            allowed = image if i < view else action
            row = [logits[len(prompt) + i - 1][a] for a in allowed]
            confidence[i] = max(softmax(row, 1.0))
            if temperature == 0:
                block[i] = allowed[row.index(max(row))]
                continue
            total = 0.0
            for a, p in zip(allowed, softmax(row, temperature)):
                total += p
                if total > noise[i]:
                    break
            block[i] = a
        rho = math.cos(math.pi / 2 * step / (steps + 1))
        count = max(1, math.floor((1 - rho) * len(masked) + 0.5)) if step < steps else len(masked)
        order = sorted(masked, key=lambda i: -confidence[i])
        left = sorted(order[count:])
        trace.append({"sampled": list(block), "masked_after": left})
        for i in left:
            block[i] = IDS["mask"]
    return {
        "attention": attention,
        "steps": steps,
        "temperature": temperature,
        "prefix_ids": prompt,
        "text": text,
        "view": view,
        "action_slots": slots,
        "image_ids": image,
        "action_ids": action,
        "trace": trace,
    }


def main() -> None:
    model = Model()
    cases = [
        case(model, attention, steps, temperature)
        for attention in ("released", "hybrid")
        for steps, temperature in ((1, 1.0), (4, 0.7), (8, 1.0), (16, 0.0))
    ]
    path = Path(__file__).with_name("paper_sampler.json")
    lines = ",\n".join(json.dumps(c) for c in cases)
    path.write_text(f'{{"kind": "paper_sampler", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
