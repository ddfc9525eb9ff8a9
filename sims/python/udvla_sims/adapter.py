"""The contract between the worker and a simulator adapter, and what adapters share.

The worker imports `udvla_sims.<benchmark>` and makes one `Adapter` from it. All calls come
from one thread; the worker owns the loop, counts control steps, plays chunks and writes
videos. An adapter holds no policy knowledge (no resize, no normalization) and catches no
exception of its simulator: the worker reports it as an episode that could not run.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray


class SetupError(RuntimeError):
    """Something that the user has to provide is missing or wrong."""


class Observation(NamedTuple):
    """Input of the policy."""

    images: list[NDArray[np.uint8]]
    """One contiguous [height, width, 3] RGB array per camera; empty when images are off."""
    state: NDArray[np.float32]
    """Proprioception, laid out as `Spec.state` names it."""
    instruction: str


class Progress(NamedTuple):
    """State of an episode after a control step."""

    stage: int
    """Stages completed; the episode succeeded if all are when it ends. Where the protocol decides
    by the last step, the last stage may become incomplete again."""
    done: bool
    """Whether the episode is over (success, or the protocol's step limit)."""
    truncated: bool
    """Whether it ended at the step limit without success."""


class Spec(NamedTuple):
    """Properties of the simulator; fixed for the life of the adapter."""

    cameras: list[tuple[str, int, int]]
    """(name, height, width) per camera."""
    state: list[str]
    """A name for each number of the proprioceptive state."""
    action: list[str]
    """A name for each number of an action."""
    control_hz: float
    """Control steps per simulated second."""
    setting: dict[str, str]
    """What may differ between machines under one protocol: package versions, renderer, assets."""


class Adapter(Protocol):
    """One simulator in one process."""

    def __init__(self, config: dict) -> None:
        """Checks versions and files; builds no task yet.

        Args:
            config: `protocol` (the protocol file's content with the run's choices), `suites`
                (names of the suites that will be played; empty: unknown), `images` (bool:
                whether observations have images; otherwise only a video needs a renderer),
                `video` (bool: whether `frame` will be called), `assets`, `renderer` (str or
                absent), `scratch` (a writable folder of this worker alone).

        Raises:
            SetupError: something is missing; the text says what, and what to run.
        """

    spec: Spec

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Sets the episode's initial state, settled, whatever ran before."""

    def observe(self) -> Observation:
        """The current observation; images only right after `reset` or a `step` with look."""

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Executes one control step.

        Args:
            action: one number per entry of `spec.action`, in the simulator's units.
            look: whether `observe` may be called after this step.

        Raises:
            ValueError: the action has the wrong length or is not finite.
        """

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action; reads the simulator's state, never writes it."""

    def target(self) -> NDArray[np.float32] | None:
        """Position of the object to be moved, in meters in the frame of the world, [3].

        None: the task has no such object. Optional.
        """

    def look_again(self) -> None:
        """Draws the images that the last step, taken without look, would have drawn with it.

        For demonstrations: any step may be the last, whose images are needed. Optional.
        """

    def frame(self) -> NDArray[np.uint8]:
        """An image of the current state for the video: all cameras side by side (`side_by_side`).

        Contiguous [height, width, 3] RGB, upright.
        """

    def state_bytes(self) -> bytes:
        """The simulator's state in a fixed order, for hashing."""

    def solved(self) -> bool | None:
        """Whether the first stage's goal holds in the current state; called right after `reset`.

        Must not change the state. None: it cannot be told without that. Optional.
        """

    def notes(self) -> dict[str, bool | int]:
        """What the record keeps of an episode besides its outcome; called once, when it is over.

        Optional.
        """

    def close(self) -> None:
        """Frees the simulator."""


def protocol_spec(
    environment: dict, state: Iterable[str], action: Iterable[str], setting: dict[str, str]
) -> Spec:
    """The `Spec` of an adapter.

    Args:
        environment: the protocol's `environment`, for cameras and control rate.
        state: names of the state's numbers.
        action: names of an action's numbers.
        setting: versions, renderer and assets.
    """
    cameras = environment["cameras"]
    return Spec(
        cameras=[(camera["name"], camera["height"], camera["width"]) for camera in cameras],
        state=list(state),
        action=list(action),
        control_hz=float(environment["control"]["hz"]),
        setting=setting,
    )


def side_by_side(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """A frame of a video with the images from left to right.

    Args:
        images: [height, width, 3] RGB each; smaller ones are enlarged to the greatest height, each
            pixel to the nearest one, so that nothing is smoothed.

    Returns:
        A contiguous [height, width, 3] array with an even height and width, as videos need.
    """
    height = max(image.shape[0] for image in images)
    parts = []
    for image in images:
        width = round(image.shape[1] * height / image.shape[0])
        rows = np.arange(height) * image.shape[0] // height
        columns = np.arange(width) * image.shape[1] // width
        parts.append(image[rows][:, columns])
    joined = np.concatenate(parts, axis=1)
    return np.ascontiguousarray(joined[: height // 2 * 2, : joined.shape[1] // 2 * 2])


def checked_action(action: NDArray, count: int, dtype: DTypeLike = np.float32) -> NDArray:
    """The action as an array of `dtype`.

    Raises:
        ValueError: it has not `count` numbers, or one is not finite.
    """
    command = np.asarray(action, dtype=dtype)
    if command.shape != (count,):
        raise ValueError(f"an action has {count} numbers, not {command.size}: {action}")
    if not np.isfinite(command).all():
        raise ValueError(f"the action is not finite: {command.tolist()}")
    return command


def installed_versions(packages: dict[str, str], hint: str) -> dict[str, str]:
    """Versions of Python and of installed packages.

    Args:
        packages: names of the packages by their keys in the result.
        hint: what to run when one is missing.

    Raises:
        SetupError: a package is not installed.
    """
    versions = {"python": platform.python_version()}
    for key, package in packages.items():
        try:
            versions[key] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise SetupError(
                f"the Python package `{package}` is not installed in Python "
                f"{versions['python']}; {hint}"
            ) from None
    return versions


def quoted(names: Iterable[str], most: int | None = None) -> str:
    """Names in back-ticks, separated by commas, at most `most` of them."""
    names = list(names)
    shown = ", ".join(f"`{name}`" for name in names[:most])
    hidden = len(names[most:]) if most else 0
    return f"{shown} and {hidden} more" if hidden else shown
