"""The decode loops of the released UD-VLA code (commit 97756cc), restated in our own words.

Denoising has no cache: every position is computed at every step under an explicit mask, with
logits of the whole vocabulary for every position and -inf outside the allowed ids. The two loops
from left to right have a cache, as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from model import Cache, Model
from noise import KeyedNoise, TorchNoise

Noise = KeyedNoise | TorchNoise
LARGEST = torch.finfo(torch.float32).max


def mask_count(positions: int, step: int, steps: int, unknown: int) -> int:
    """How many positions stay unknown; in f32 as released."""
    share = torch.cos(torch.tensor(step / steps, dtype=torch.float32) * math.pi * 0.5)
    return max(1, min(unknown - 1, int((positions * share).floor())))


@dataclass
class Stage:
    """One run of denoising steps over a block."""

    block: torch.Tensor
    # Number of image positions; the others are actions.
    image: int
    steps: int
    # Steps of earlier stages, whose noise is used.
    before: int = 0
    # Whether slots after an end of actions stay MASK.
    leave: bool = False


class Denoising:
    """Joint decoding, and independent diffusion in two stages."""

    def __init__(self, model: Model, case: dict, noise: Noise) -> None:
        """Prepares for one case."""
        self.model, self.case, self.noise = model, case, noise
        self.temperature = 1.0

    def joint(self) -> list[int]:
        """Future views and actions together."""
        block = self.tensor(self.case["block"])
        stage = Stage(block, self.case["image"], self.case["denoise_steps"])
        return self.run(self.tensor(self.case["prompt"]), stage).tolist()

    def independent(self) -> list[int]:
        """Future views first, then the actions conditioned on the last draw of the views."""
        prompt, block = (self.tensor(self.case[name]) for name in ("prompt", "block"))
        image, steps = self.case["image"], self.case["denoise_steps"]
        views = self.run(prompt, Stage(block[:image], image, steps))
        actions = Stage(block[image:], 0, self.case["action_steps"], before=steps, leave=True)
        return [*views.tolist(), *self.run(torch.cat([prompt, views]), actions).tolist()]

    def tensor(self, ids: list[int]) -> torch.Tensor:
        """Ids on the model's device."""
        return torch.tensor(ids, device=self.model.device)

    def mask(self, whole: torch.Tensor) -> torch.Tensor:
        """The additive mask of a sequence."""
        if self.case["attention"] == "released":
            return self.model.additive(self.model.released_mask(whole))
        return self.model.additive(self.model.hybrid_mask(self.case["parts"], len(whole)))

    def restrict(self, logits: torch.Tensor, image: int) -> torch.Tensor:
        """Logits with -inf outside what each part may be."""
        for rows, name in ((slice(0, image), "image_ids"), (slice(image, None), "action_ids")):
            outside = torch.full((logits.shape[1],), float("-inf"), device=logits.device)
            outside[self.tensor(self.case[name])] = 0.0
            logits[rows] = logits[rows] + outside
        return logits

    def run(self, prompt: torch.Tensor, stage: Stage) -> torch.Tensor:
        """Fills a block and returns what was drawn last."""
        mask_id, block = self.case["mask_token_id"], stage.block
        whole, positions, drawn = torch.cat([prompt, block]), len(block), block
        for step in range(1, stage.steps + 1):
            ended = (block == self.case["eoa_token_id"]).nonzero()
            end = int(ended[0, 0]) + 1 if len(ended) > 0 else positions
            # Without the bound an end in the last slot would overwrite the prompt.
            if end < positions:
                whole[len(whole) - positions + end :] = mask_id
            logits, _ = self.model.logits(whole, self.mask(whole))
            logits = self.restrict(logits[-positions - 1 : -1], stage.image)
            probabilities = logits.softmax(-1)
            unknown = block == mask_id
            if stage.leave:
                unknown[end:] = False
            at = stage.before + step - 1
            drawn = torch.where(unknown, self.noise.draw(probabilities, at), block)
            left = mask_count(positions, step, stage.steps, int(unknown.sum()))
            self.temperature *= 1.0 - step / stage.steps
            # Where nothing is unknown any more there is nothing to rank.
            again = self.again(probabilities, drawn, unknown, (left, at))
            block = torch.where(again, torch.tensor(mask_id, device=block.device), drawn)
            whole[-positions:] = block
        return drawn

    def again(
        self,
        probabilities: torch.Tensor,
        drawn: torch.Tensor,
        unknown: torch.Tensor,
        counts: tuple[int, int],
    ) -> torch.Tensor:
        """Which positions become MASK again: the least confident of the unknown ones."""
        left, step = counts
        confidence = probabilities.gather(1, drawn[:, None])[:, 0].double()
        known = torch.tensor(LARGEST, dtype=torch.float64, device=drawn.device)
        confidence = torch.where(unknown, confidence, known)
        noise = self.noise.gumbel(step, len(drawn)).to(drawn.device)
        rank = confidence.clamp(min=1e-20).log() + self.temperature * noise
        return unknown & (rank < rank.sort().values[min(left, len(rank) - 1)])


class Sequential:
    """The two loops from left to right, with a cache and causal attention.

    Both take the argmax over the ids allowed in each part. The released autoregressive run
    restricts nothing and the released Jacobi run not its first position; here both restrict all,
    as udvla-eval does, so that ids can be compared.
    """

    def __init__(self, model: Model, case: dict, noise: Noise) -> None:
        """Prepares for one case."""
        self.model, self.case, self.noise = model, case, noise
        self.allowed = {}
        for name in ("image_ids", "action_ids"):
            outside = torch.full((model.config["vocab_size"],), float("-inf"), device=model.device)
            outside[torch.tensor(case[name], device=model.device)] = 0.0
            self.allowed[name] = outside

    def autoregressive(self) -> list[int]:
        """One id after the other, up to the end of actions."""
        positions, ids = len(self.case["block"]), []
        following, cache = self.forward(self.case["prompt"], None, 0)
        while len(ids) < positions:
            ids.append(self.given(len(ids)) or int(following[-1]))
            if ids[-1] == self.case["eoa_token_id"]:
                break
            following, cache = self.forward(ids[-1:], cache, len(ids))
        return ids

    def jacobi(self) -> list[int]:
        """Spans that are guessed at once and updated until they are stable."""
        image, positions, ids = self.case["image"], len(self.case["block"]), []
        following, cache = self.forward(self.case["prompt"], None, 0)
        prompt = torch.tensor(self.case["prompt"], device=self.model.device)
        guesses = self.noise.guesses(prompt, positions).tolist()
        while len(ids) < positions:
            start = len(ids)
            part = image if start < image else positions
            end = min(start + self.case["jacobi_stretch"], part)
            stretch = [self.given(start) or int(following[-1]), *guesses[start + 1 : end]]
            while True:
                following, extended = self.forward(stretch, cache, start + 1)
                predicted = [stretch[0], *following[:-1].tolist()]
                if predicted == stretch:
                    break
                stretch = predicted
            cache = extended
            eoa = self.case["eoa_token_id"]
            if start >= image and eoa in stretch:
                return [*ids, *stretch[: stretch.index(eoa) + 1]]
            ids += stretch
        return ids

    def given(self, position: int) -> int | None:
        """The id of a position that is not predicted: the begin mark of the actions."""
        return self.model.config["boa_token_id"] if position == self.case["image"] else None

    def forward(self, ids: list[int], past: Cache | None, first: int) -> tuple[torch.Tensor, Cache]:
        """The most probable ids of the block positions from `first` on that follow `ids`."""
        device = self.model.device
        before = past[0][0].shape[2] if past else 0
        query = torch.arange(before, before + len(ids), device=device)
        key = torch.arange(before + len(ids), device=device)
        mask = self.model.additive(key[None, :] <= query[:, None])
        logits, cache = self.model.logits(torch.tensor(ids, device=device), mask, past)
        if past is None:
            logits = logits[-1:]
        image = max(0, min(self.case["image"] - first, len(logits)))
        logits[:image] += self.allowed["image_ids"]
        logits[image:] += self.allowed["action_ids"]
        return (logits / 0.01).softmax(-1).argmax(-1), cache


@torch.no_grad()
def decode(model: Model, case: dict, noise: Noise) -> list[int]:
    """The ids that the loop of a case's decoding generates."""
    match case["decoding"]:
        case "jd3p":
            return Denoising(model, case, noise).joint()
        case "id":
            return Denoising(model, case, noise).independent()
        case "ar":
            return Sequential(model, case, noise).autoregressive()
        case "jacobi":
            return Sequential(model, case, noise).jacobi()
        case other:
            raise ValueError(f"no loop for decoding `{other}`")
