"""A minimal simulator: tests the worker, and is an example of an adapter.

The state is one number per action dimension; every control step adds the action to it. Each
stage is completed when the first number has grown by 1, within a step limit of its own. With
`until_limit` an episode has one stage that may become incomplete again, and ends at the step limit.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
from numpy.typing import NDArray

from udvla_sims.adapter import Observation, Progress, SetupError, Spec

HEIGHT, WIDTH = 24, 32


class Adapter:
    """The toy simulator; see `udvla_sims.adapter.Adapter`."""

    def __init__(self, config: dict) -> None:
        environment = config["protocol"]["environment"]
        if environment.get("broken"):
            raise SetupError("the toy's box is empty: fill it with `make toys`")
        self._stages = int(environment.get("stages", 1))
        self._max_steps = int(environment.get("max_steps", 40))
        self._until_limit = bool(environment.get("until_limit"))
        self._raise_at = int(environment.get("raise_at", -1))
        self._head_start = float(environment.get("head_start", 0))
        self._images = bool(config["images"])
        self.renders = 0
        self.spec = Spec(
            cameras=[("toy", HEIGHT, WIDTH)],
            state=["a", "b", "c"],
            action=["a", "b", "c"],
            control_hz=10.0,
            setting={"python": sys.version.split()[0], "numpy": np.__version__},
        )

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Sets a state derived from the episode's name."""
        digest = hashlib.sha256(f"{suite}/{task}/{trial}".encode()).digest()
        self._state = np.frombuffer(digest[:3], dtype=np.uint8).astype(np.float32) / 256.0
        self._first = float(self._state[0])
        self._state[0] += self._head_start
        self._stage = 0
        self._steps = 0
        self._first_success = None
        print(f"toy: reset to {suite} {task} {trial}")

    def observe(self) -> Observation:
        """The state, and an image whose brightness is the first number."""
        images = []
        if self._images:
            self.renders += 1
            level = int(abs(self._state[0]) * 100) % 256
            images.append(np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8))
        return Observation(images, self._state.copy(), f"raise a by {self._stage + 1}")

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Adds the action to the state."""
        if action.shape != (3,) or not np.isfinite(action).all():
            raise ValueError(f"the toy takes 3 finite numbers, not {action}")
        if self._steps == self._raise_at:
            raise RuntimeError("the toy broke")
        self._state += action
        self._steps += 1
        grown = float(self._state[0]) - self._first
        if self._until_limit:
            return self._last_step_counts(grown >= 1)
        if grown >= self._stage + 1:
            self._stage += 1
            self._steps = 0
        done = self._stage == self._stages
        truncated = not done and self._steps == self._max_steps
        return Progress(self._stage, done or truncated, truncated)

    def _last_step_counts(self, raised: bool) -> Progress:
        if raised and self._first_success is None:
            self._first_success = self._steps
        self._stage = int(raised)
        done = self._steps == self._max_steps
        return Progress(self._stage, done, done and not raised)

    def solved(self) -> bool:
        """Whether the first number has grown by 1; at a reset by `head_start`."""
        return float(self._state[0]) - self._first >= 1

    def notes(self) -> dict[str, bool | int]:
        """When the last stage was first completed, and whether it was, with `until_limit`."""
        if self._first_success is None:
            return {"success_any": self._stage > 0}
        return {"success_any": True, "first_success_step": self._first_success}

    def script_action(self) -> NDArray[np.float32]:
        """Raises the first number slowly."""
        return np.array([0.125, 0.0, 0.0], dtype=np.float32)

    def frame(self) -> NDArray[np.uint8]:
        """The image for the video."""
        level = int(abs(self._state[0]) * 100) % 256
        return np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)

    def state_bytes(self) -> bytes:
        """The state as little-endian numbers."""
        return self._state.astype("<f4").tobytes()

    def close(self) -> None:
        """Nothing to free."""
