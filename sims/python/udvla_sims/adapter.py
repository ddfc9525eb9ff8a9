"""The contract between the worker and a simulator adapter.

The worker imports `udvla_sims.<benchmark>` and makes one `Adapter` from it. All calls come
from one thread; the worker owns the loop, counts control steps, plays chunks and writes
videos. An adapter holds no policy knowledge (no resize, no normalisation) and catches no
exception of its simulator: the worker turns it into an episode that could not run.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Observation(NamedTuple):
    """What the policy sees."""

    images: list[NDArray[np.uint8]]
    """One contiguous (height, width, 3) RGB array per camera; empty when images are off."""
    state: NDArray[np.float32]
    """Proprioception, laid out as `Spec.state` names it."""
    instruction: str
    """The instruction in words."""


class Progress(NamedTuple):
    """Where an episode stands after a control step."""

    stage: int
    """Stages completed; an episode whose stages are all completed when it is over has succeeded.
    Where the protocol asks for what holds at the last step, the last stage may come and go."""
    done: bool
    """Whether the episode is over (success, or the protocol's step limit)."""
    truncated: bool
    """Whether it is over because the step limit was reached without success."""


class Spec(NamedTuple):
    """What the simulator offers; fixed for the life of the adapter."""

    cameras: list[tuple[str, int, int]]
    """(name, height, width) per camera."""
    state: list[str]
    """A name for each number of the proprioceptive state."""
    action: list[str]
    """A name for each number of an action."""
    control_hz: float
    """Control steps per simulated second."""
    setting: dict[str, str]
    """What may differ between machines under one protocol: versions of the simulator's
    packages, renderer string, which assets were used."""


class Adapter(Protocol):
    """One simulator in one process."""

    def __init__(self, config: dict) -> None:
        """Checks versions and files and makes ready; builds no task yet.

        Args:
            config: `protocol` (the protocol file's content with the run's choices), `suites`
                (names of the suites that will be played; empty: whichever are there),
                `images` (bool: whether the policy looks, else nothing needs a renderer
                unless a video is made), `video` (bool: whether `frame` will be called),
                `assets`, `renderer` (str or absent), `scratch` (a writable folder of this
                worker alone).

        Raises:
            udvla_sims.adapter.SetupError: something is missing; its text says what and
                what to type.
        """

    spec: Spec

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Brings the episode's initial state, settled; the same whatever ran before."""

    def observe(self) -> Observation:
        """What the policy sees now; images only right after `reset` or a `step` with look."""

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Plays one control step.

        Args:
            action: one number per entry of `spec.action`, in the simulator's units.
            look: whether `observe` may be called after this step.

        Raises:
            ValueError: the action has the wrong length or is not finite.
        """

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action; reads the simulator's state, never writes it."""

    def frame(self) -> NDArray[np.uint8]:
        """A contiguous (height, width, 3) RGB picture of now for the video, right way up."""

    def state_bytes(self) -> bytes:
        """The simulator's state in a fixed order, for hashing."""

    def notes(self) -> dict[str, bool | int]:
        """What the record keeps of an episode beside its outcome; called once, when it is over.

        An adapter without notes leaves the method out.
        """

    def close(self) -> None:
        """Frees the simulator."""


class SetupError(RuntimeError):
    """Something that the user has to provide is missing or wrong."""
