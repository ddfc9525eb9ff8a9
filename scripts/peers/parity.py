#!/usr/bin/env python3
"""udvla-eval's networks against those of the `transformers` package.

    scripts/peers/run parity.py --program target/release/examples/outputs

writes small random checkpoints with `transformers` (a language model as Llama and as Emu3, and
Emu3's vision tokenizer under the names of the published file), lets udvla-eval's code load them,
and compares logits under all four masks, codes, and a decoded image. f32 on a processor.

Exit code 1: something differs by more than the tolerance.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    Emu3ForCausalLM,
    Emu3TextConfig,
    Emu3VQVAE,
    Emu3VQVAEConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

TOLERANCE = 1e-5
SIZES = {
    "vocab_size": 640,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "max_position_embeddings": 128,
}
# Special ids of the small vocabulary.
IDS = {
    "pad_token_id": 300,
    "bos_token_id": 301,
    "boa_token_id": 302,
    "eoa_token_id": 303,
    "eof_token_id": 304,
    "mask_token_id": 305,
    "img_token_id": 306,
    "boi_token_id": 307,
    "eoi_token_id": 308,
    "bov_token_id": 320,
    "eov_token_id": 447,
    "last_action_token_id": 299,
}
PARTS = {"text": 7, "views": [13, 9], "future": [13, 9], "actions": 12}
CLASSES = ((LlamaConfig, LlamaForCausalLM), (Emu3TextConfig, Emu3ForCausalLM))
GRID = (6, 8)


def sequence() -> tuple[list[int], int]:
    """Ids of text, views twice and actions, and the position of the end of actions."""
    ids = [IDS["bos_token_id"], *torch.randint(0, 256, (PARTS["text"] - 1,)).tolist()]
    for length in [*PARTS["views"], *PARTS["future"]]:
        codes = torch.randint(IDS["bov_token_id"], IDS["eov_token_id"] + 1, (length - 2,))
        ids += [IDS["boi_token_id"], *codes.tolist(), IDS["eoi_token_id"]]
    end = len(ids) + 8
    actions = torch.randint(100, 299, (PARTS["actions"] - 1,)).tolist()
    actions[7:] = [IDS["eoa_token_id"], *[IDS["mask_token_id"]] * (len(actions) - 8)]
    return [*ids, IDS["boa_token_id"], *actions], end


def masks(end: int) -> dict[str, torch.Tensor]:
    """Which keys each query sees, [t, t] bool by the mask's name, from the rules in words."""
    views = PARTS["views"]
    lengths = [PARTS["text"], *views, *PARTS["future"], PARTS["actions"]]
    part = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(len(part))
    causal = place[None, :] <= place[:, None]
    # Positions after the end of actions count as text again.
    tail = place > end

    def blocks(number: torch.Tensor) -> torch.Tensor:
        """Bidirectional within a number, causal across; 0 and the tail are text."""
        number = torch.where(tail, len(lengths), number)
        text = (number == 0) | tail
        before = number[None, :] <= number[:, None]
        return torch.where(text[:, None], causal, before)

    first_view, last_view = 1, len(views)
    kind = (part >= first_view).long() + (part > last_view).long() + (part == len(lengths) - 1)
    levels = kind[None, :] <= kind[:, None]
    return {
        "causal": causal,
        "released": blocks((part > 0).long()),
        # The paper's mask depends on slots alone.
        "hybrid": torch.where((kind == 0)[:, None], causal, levels),
        "released-bidirectional": blocks(part.clamp(max=3)),
    }


def language_model(folder: Path, classes: tuple[type, type]) -> LlamaForCausalLM:
    """Writes a random model in several shards, with an index, as published ones are."""
    config, model = classes
    # These two mean something to `transformers` itself; a UD-VLA file has them as well.
    known = {name: IDS[name] for name in ("pad_token_id", "bos_token_id")}
    model = model(config(**SIZES, **known, attn_implementation="sdpa")).eval()
    for parameter in model.parameters():
        parameter.data.uniform_(-0.25, 0.25)
        parameter.data += 1.0 if parameter.dim() == 1 else 0.0
    model.save_pretrained(folder, max_shard_size="200KB")
    file = folder / "config.json"
    keys = {**json.loads(file.read_text()), **IDS, "use_blockwise_attn_mask": True}
    file.write_text(json.dumps(keys))
    return model


def published_name(name: str) -> str:
    """The name of a tensor of the vision tokenizer in the published file."""
    name = name.replace(".middle_block.attn_norm.", ".mid.attn_1.norm.")
    name = name.replace(".down_block.", ".").replace(".up_block.", ".")
    name = name.replace(".middle_block.", ".mid.")
    name = re.sub(r"\.attn_norms\.(\d)\.", r".attn.\1.norm.", name)
    return re.sub(r"\.([qkv])_proj\.", r".\1.", name).replace(".out_proj.", ".proj_out.")


def vision_tokenizer(folder: Path) -> Emu3VQVAE:
    """Writes a random vision tokenizer under the published names."""
    model = Emu3VQVAE(Emu3VQVAEConfig(codebook_size=64, base_channels=32, hidden_size=128)).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name == "quantize.embedding.weight":
            tensor.normal_()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if re.search(r"\.(q|k|v|out)_proj\.weight$", name):
            tensor = tensor[:, :, None, None]
        tensors[published_name(name)] = tensor.contiguous()
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    config = {"ch": 32, "ch_mult": [1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [3]}
    config |= {"z_channels": 4, "double_z": False, "codebook_size": 64, "embed_dim": 4}
    config |= {"in_channels": 3, "out_channels": 3, "temporal_downsample_factor": 4}
    (folder / "config.json").write_text(json.dumps(config))
    return model


@torch.no_grad()
def compare(program: Path, classes: tuple[type, type]) -> dict[str, float]:
    """Largest differences by what was compared; of codes, how many differ."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = language_model(folder / "model", classes)
        shards = len(list((folder / "model").glob("*.safetensors")))
        assert shards > 1, "the model should be in several shards"
        tokenizer = vision_tokenizer(folder / "vision")
        ids, end = sequence()
        picture = torch.rand(1, 3, 8 * GRID[0], 8 * GRID[1]) * 2 - 1
        codes = torch.randint(0, 64, (1, *GRID))
        inputs = {"ids": ids, "parts": PARTS, "end_of_actions": end}
        inputs |= {"picture": picture.flatten().tolist(), "shape": list(picture.shape)}
        inputs |= {"codes": codes[0].tolist()}
        (folder / "inputs.json").write_text(json.dumps(inputs))
        done = subprocess.run([program, folder], check=True, capture_output=True, text=True)
        ours = json.loads(done.stdout)
    found = {}
    for mask, seen in masks(end).items():
        added = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        theirs = model(input_ids=torch.tensor([ids]), attention_mask=added[None, None]).logits[0]
        found[f"{type(model).__name__}, logits, {mask}"] = largest_difference(
            ours["logits"][mask], theirs
        )
    theirs = tokenizer.encode(picture, torch.tensor([picture.shape[2:]]))[0]
    different = sum(a != b for a, b in zip(ours["codes"], theirs.flatten().tolist(), strict=True))
    found["Emu3VQVAE, codes of a picture that differ"] = float(different)
    found["Emu3VQVAE, picture of codes"] = largest_difference(
        ours["picture"], tokenizer.decode(codes)
    )
    return found


def largest_difference(ours: list[float], theirs: torch.Tensor) -> float:
    """Largest absolute difference, relative to the largest reference value if that is above 1."""
    theirs = theirs.double().flatten()
    scale = max(1.0, float(theirs.abs().max()))
    return float((torch.tensor(ours, dtype=torch.float64) - theirs).abs().max()) / scale


def main() -> int:
    """Compares both classes; 1 when something is not equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, default=Path("target/release/examples/outputs"))
    program = parser.parse_args().program.resolve()
    torch.manual_seed(0)
    found = {}
    for classes in CLASSES:
        found |= compare(program, classes)
    for what, difference in found.items():
        print(f"{'equal  ' if difference <= TOLERANCE else 'DIFFERS'} {what}: {difference:.1e}")
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    print(f"tolerance {TOLERANCE:.0e}; {versions}")
    return 0 if all(difference <= TOLERANCE for difference in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
