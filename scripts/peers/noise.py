"""The random numbers of a decoding: udvla-eval's own, or drawn as the released code draws."""

from __future__ import annotations

import hashlib

import torch

MASK_64 = (1 << 64) - 1


def split_mix(state: int) -> int:
    """One output of SplitMix64 for the state `state`."""
    z = (state + 0x9E3779B97F4A7C15) & MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    return z ^ (z >> 31)


class KeyedNoise:
    """The random numbers of one decoding as udvla-eval keys them (noise version 1)."""

    def __init__(self, key: dict) -> None:
        """Takes the `noise` of a case."""
        name = f"udvla-noise-{key['version']}/{key['seed']}/{key['episode']}/{key['call']}"
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")

    def uniforms(self, stream: int, step: int, positions: int) -> torch.Tensor:
        """Numbers in (0, 1), [positions] f64."""
        row = split_mix(self._key ^ split_mix(stream << 32 | step))
        numbers = [split_mix((row + at) & MASK_64) >> 12 for at in range(positions)]
        return (torch.tensor(numbers, dtype=torch.float64) + 0.5) * 0.5**52

    def draw(self, probabilities: torch.Tensor, step: int) -> torch.Tensor:
        """An id per row of `probabilities [rows, vocabulary]` by inverse distribution."""
        sums = probabilities.cumsum(-1, dtype=torch.float64)
        wanted = self.uniforms(0, step, len(sums)).to(sums.device)[:, None] * sums[:, -1:]
        return torch.searchsorted(sums, wanted, right=True).clamp(max=sums.shape[1] - 1)[:, 0]

    def gumbel(self, step: int, positions: int) -> torch.Tensor:
        """The ranking noise of a step, [positions] f64."""
        uniforms = self.uniforms(1, step, positions).clamp(min=1e-20)
        return -(-uniforms.log()).clamp(min=1e-20).log()

    def guesses(self, prompt: torch.Tensor, positions: int) -> torch.Tensor:
        """First ids of Jacobi iteration, [positions], from the prompt's own."""
        places = (self.uniforms(0, 0, positions) * len(prompt)).long().clamp(max=len(prompt) - 1)
        return prompt[places.to(prompt.device)]


class TorchNoise:
    """The released code's own draws, from one generator seeded for the call."""

    def __init__(self, device: str) -> None:
        """Seeds the generator as the released wrappers do."""
        self._generator = torch.Generator(device).manual_seed(42)

    def draw(self, probabilities: torch.Tensor, step: int) -> torch.Tensor:
        """An id per row of `probabilities [rows, vocabulary]`."""
        return torch.multinomial(probabilities, 1, generator=self._generator)[:, 0]

    def gumbel(self, step: int, positions: int) -> torch.Tensor:
        """The ranking noise of a step, [positions] f32."""
        device = self._generator.device
        uniforms = torch.rand(positions, generator=self._generator, device=device)
        return -(-uniforms.clamp(min=1e-20).log()).clamp(min=1e-20).log()

    def guesses(self, prompt: torch.Tensor, positions: int) -> torch.Tensor:
        """First ids of Jacobi iteration, [positions], from the prompt's own."""
        places = torch.randint(
            len(prompt), (positions,), generator=self._generator, device=prompt.device
        )
        return prompt[places]
