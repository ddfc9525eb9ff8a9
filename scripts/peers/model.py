"""The language model as the released code runs it: a Llama-shaped decoder with an explicit mask."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch.nn import functional

KINDS = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

# Keys and values of the positions so far, by layer.
Cache = list[tuple[torch.Tensor, torch.Tensor]]


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
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
                weights[name] = flat.reshape(entry["shape"])
    return weights


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of a configuration."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    table = (config["vocab_size"], width)
    found = {"model.embed_tokens": table, "model.norm": (width,), "lm_head": table}
    for layer in (f"model.layers.{index}" for index in range(config["num_hidden_layers"])):
        for part, rows in (("q", width), ("k", keys), ("v", keys), ("o", width)):
            found[f"{layer}.self_attn.{part}_proj"] = (rows, width)
        for part, shape in (("gate", (inner, width)), ("up", (inner, width))):
            found[f"{layer}.mlp.{part}_proj"] = shape
        found[f"{layer}.mlp.down_proj"] = (width, inner)
        for part in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}.{part}"] = (width,)
    return {f"{name}.weight": shape for name, shape in found.items()}


def random_weights(config: dict, device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights drawn on the device: norms 1, all others normal with deviation 0.02."""
    generator = torch.Generator(device).manual_seed(0)
    weights = {}
    for name, shape in shapes(config).items():
        tensor = torch.ones(shape, device=device, dtype=dtype)
        if len(shape) > 1:
            tensor.normal_(0.0, 0.02, generator=generator)
        weights[name] = tensor
    return weights


class Model:
    """The language model on a device."""

    def __init__(self, config: dict, weights: dict, device: str, dtype: torch.dtype) -> None:
        """Takes a `config.json` and the weights by name."""
        self.config, self.device, self.dtype = config, device, dtype
        self.weights = {name: tensor.to(device, dtype) for name, tensor in weights.items()}
        self.head = config["hidden_size"] // config["num_attention_heads"]
        steps = torch.arange(0, self.head, 2, dtype=torch.float32) / self.head
        frequencies = 1.0 / config["rope_theta"] ** steps
        places = torch.arange(config["max_position_embeddings"], dtype=torch.float32)
        angles = torch.outer(places, frequencies)
        angles = torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().to(device, dtype), angles.sin().to(device, dtype)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Root-mean-square norm in f32, cast back before the weight."""
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return self.weights[f"{name}.weight"] * y.to(x.dtype)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """`x` times the transpose of a weight."""
        return functional.linear(x, self.weights[f"{name}.weight"])

    def attend(
        self, x: torch.Tensor, mask: torch.Tensor, index: int, past: Cache | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Self-attention of `x [n, d]` after the cached positions under an additive mask [n, t]."""
        layer, length = f"model.layers.{index}.self_attn", x.shape[0]
        first = past[index][0].shape[2] if past else 0
        cos, sin = (table[first : first + length] for table in (self.cos, self.sin))

        def heads(part: str, count: int) -> torch.Tensor:
            projected = self.linear(x, f"{layer}.{part}_proj")
            return projected.view(1, length, count, self.head).transpose(1, 2)

        def rotate(y: torch.Tensor) -> torch.Tensor:
            half = self.head // 2
            turned = torch.cat([-y[..., half:], y[..., :half]], -1)
            return y * cos + turned * sin

        count, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        query, key, value = (
            rotate(heads("q", count)),
            rotate(heads("k", groups)),
            heads("v", groups),
        )
        if past:
            key, value = (
                torch.cat([old, new], 2) for old, new in zip(past[index], (key, value), strict=True)
            )
        repeated = (part.repeat_interleave(count // groups, 1) for part in (key, value))
        seen = functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask)
        seen = seen.transpose(1, 2).reshape(length, -1)
        return self.linear(seen, f"{layer}.o_proj"), (key, value)

    def logits(
        self, ids: torch.Tensor, mask: torch.Tensor, past: Cache | None = None
    ) -> tuple[torch.Tensor, Cache]:
        """Logits of the whole vocabulary at every position, [n, vocabulary] f32, and the cache."""
        x, cache = self.weights["model.embed_tokens.weight"][ids], []
        for index in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{index}"
            seen, own = self.attend(self.norm(x, f"{layer}.input_layernorm"), mask, index, past)
            cache.append(own)
            x = x + seen
            y = self.norm(x, f"{layer}.post_attention_layernorm")
            gate = functional.silu(self.linear(y, f"{layer}.mlp.gate_proj"))
            y = gate * self.linear(y, f"{layer}.mlp.up_proj")
            x = x + self.linear(y, f"{layer}.mlp.down_proj")
        return self.linear(self.norm(x, "model.norm"), "lm_head").float(), cache

    def additive(self, seen: torch.Tensor) -> torch.Tensor:
        """The mask that is added to attention scores, from which keys each query sees."""
        mask = torch.zeros(seen.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill(~seen, float("-inf"))

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
        place = torch.arange(len(ids), device=ids.device)
        before = place[None, :] <= place[:, None]
        return (block[None, :] <= block[:, None]) & (visual[:, None] | before)

    def hybrid_mask(self, parts: dict, length: int) -> torch.Tensor:
        """Which keys each query sees by the paper's rule, from the parts of the sequence."""
        views, future = sum(parts["views"]), sum(parts.get("future", parts["views"]))
        lengths = torch.tensor([parts["text"], views, future, parts["actions"]])
        level = torch.repeat_interleave(torch.arange(4), lengths)[:length].to(self.device)
        place = torch.arange(length, device=self.device)
        before = place[None, :] <= place[:, None]
        return (level[None, :] <= level[:, None]) & ((level[:, None] > 0) | before)
