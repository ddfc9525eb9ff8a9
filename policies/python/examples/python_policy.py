"""A policy of one's own: `python -m udvla_policy_server python_policy:Policy`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Policy:
    """Moves towards where the arm was first seen; put the call of a model into `infer`."""

    def reset(self) -> None:
        """An episode begins. Leave the method out if nothing is kept between calls."""
        self.home: NDArray[np.float64] | None = None

    def infer(self, observation: dict) -> NDArray[np.float32]:
        """Actions `[steps, 7]` for images `[224, 224, 3]`, a state `[8]` and an instruction."""
        position = observation["observation/state"][:3]
        self.home = position if self.home is None else self.home
        step = np.concatenate([np.clip(self.home - position, -1, 1), np.zeros(3), [-1.0]])
        return np.tile(step, (10, 1)).astype(np.float32)
