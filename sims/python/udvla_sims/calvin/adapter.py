"""The CALVIN adapter: chains of five sub-tasks in environment D, on pybullet and numpy alone.

An episode is a chain: trial k is entry k of the protocol's list. Nothing is reset between
sub-tasks. The reset mode says what happens before a chain:

- `isolated`: the physics engine's memory of earlier chains is cleared, so a chain's result does
  not depend on what ran before it.
- `reference`: it is kept, as in the benchmark's own environment, whose results depend on the
  order of the chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapter import Observation, Progress, SetupError, checked_action, protocol_spec, side_by_side
from .cameras import Cameras, choose_renderer, connect
from .files import find_files, package_versions
from .scene import RESET_MODES, Scene
from .sequences import Chain, decode, impossible, start_of

_STATE = [
    *("x", "y", "z", "rx", "ry", "rz", "gripper_width"),
    *(f"joint_{index}" for index in range(7)),
    "gripper_command",
]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]


class Adapter:
    """One CALVIN simulator; built at the first reset and kept. See `udvla_sims.adapter.Adapter`."""

    def __init__(self, config: dict) -> None:
        """Checks versions, files, the list of chains and the renderer.

        Args:
            config: as in the contract; `calvin_root` is the user's checkout.
        """
        protocol, environment = config["protocol"], config["protocol"]["environment"]
        self._environment = environment
        self._upstream = config.get("adapter") == "upstream"
        (self._suite,) = protocol["suites"]
        details = self._suite["details"]
        self._subtasks = {subtask["name"]: subtask for subtask in details["subtasks"]}
        setting = package_versions()
        if environment["reset_mode"] not in RESET_MODES:
            raise SetupError(f"`{environment['reset_mode']}` is not a reset mode")
        self._chains = _playable_chains(details["sequences"], list(self._subtasks))
        self._files = find_files(config.get("calvin_root"), details)
        setting |= {"assets": "calvin_env", "assets_sha256": self._files.sha256, "adapter": "slim"}
        if self._files.sha256 != environment["data_sha256"]:
            setting["comparable"] = "no: other scene files than CALVIN's"
        self._images = bool(config["images"])
        self._renderer = None
        if self._images or config["video"]:
            card = config.get("card", "")
            self._renderer = choose_renderer(config.get("renderer"), setting["pybullet"], card)
        self._egl = self._renderer is not None and self._renderer.plugin is not None
        setting["renderer"] = self._renderer.name if self._renderer else "none"
        if self._upstream:
            setting |= self._find_upstream()
        self.spec = protocol_spec(environment, _STATE, _ACTION, setting)
        self._scene: Any = None
        self._expert: Any = None
        self._running = False

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Sets the initial state of chain `trial` and starts its first sub-task."""
        if suite != self._suite["name"] or task != 0:
            raise ValueError(f"the protocol has no suite `{suite}` with a task {task}")
        if not 0 <= trial < len(self._chains):
            raise ValueError(f"the list has no chain {trial}")
        if self._scene is None:
            self._build()
        state, self._chain = self._chains[trial]
        self._max_steps = int(self._suite["max_steps"])
        robot, scene = start_of(state)
        self._scene.reset(robot, scene, self._environment["reset_mode"])
        self._running = True
        self._begin(0)

    def observe(self) -> Observation:
        """The current observation; images are rendered only here."""
        scene = self._current()
        images = self._cameras.images() if self._images else []
        subtask = self._subtasks[self._chain[min(self._stage, len(self._chain) - 1)]]
        state = scene.robot_state().astype(np.float32)
        return Observation(images, state, str(subtask["instruction"]))

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Executes one control step.

        Raises:
            ValueError: as in the contract, or the gripper command is neither -1 nor 1.
        """
        command = checked_action(action, len(_ACTION))
        if command[6] not in (-1, 1):
            raise ValueError(f"the gripper takes -1 (close) or 1 (open), not {float(command[6])!r}")
        scene = self._current()
        if not self._running:
            raise RuntimeError("the chain is over; reset first")
        scene.step(command)
        self._steps += 1
        if scene.solved():
            self._begin(self._stage + 1)
        truncated = self._steps >= self._max_steps
        self._running = self._stage < len(self._chain) and not truncated
        return Progress(self._stage, not self._running, truncated)

    def solved(self) -> bool:
        """Whether the current sub-task's rule holds in the current state."""
        return bool(self._current().solved())

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .expert import Expert

        if self._expert is None:
            self._expert = Expert(self._current(), self._chain[self._stage])
        return self._expert.action()

    def frame(self) -> NDArray[np.uint8]:
        """The images of all cameras from left to right."""
        self._current()
        return side_by_side(self._cameras.images())

    def state_bytes(self) -> bytes:
        """Poses, joints and velocities of everything that moves, as little-endian f64."""
        return np.asarray(self._current().whole_state(), dtype="<f8").tobytes()

    def close(self) -> None:
        """Frees the simulation; a later `reset` builds it again."""
        if self._scene is not None:
            self._scene.close()
            self._scene = self._expert = None

    def _begin(self, stage: int) -> None:
        """Starts sub-task `stage` from the current state; no-op after the last one."""
        self._stage, self._steps, self._expert = stage, 0, None
        if stage < len(self._chain):
            self._scene.begin(self._chain[stage])

    def _build(self) -> None:
        if self._upstream:
            from .upstream import UpstreamCameras, UpstreamScene

            self._scene = UpstreamScene(draws=self._renderer is not None, egl=self._egl)
            self._cameras = UpstreamCameras(self._scene, self._environment["cameras"])
            return
        rules = {name: subtask["rule"] for name, subtask in self._subtasks.items()}
        bullet, control = connect(self._renderer), self._environment["control"]
        self._scene = Scene(bullet, self._files.data, control, rules)
        self._cameras = Cameras(self._scene, self._environment["cameras"])

    def _find_upstream(self) -> dict[str, str]:
        """Versions of `calvin_env`, for the setting.

        Raises:
            SetupError: it is missing, or EGL would have to start twice in this process.
        """
        from .upstream import find_upstream

        if self._egl and self._environment["reset_mode"] == "isolated":
            raise SetupError(
                "`--adapter upstream` starts a new simulation for every chain, and EGL starts once "
                "in a process; pass `--reset-mode reference` or `--renderer tiny`"
            )
        return find_upstream(self._files.root)

    def _current(self) -> Any:  # noqa: ANN401
        if self._scene is None:
            raise RuntimeError("no episode: reset comes first")
        return self._scene


def _playable_chains(sequences: dict, subtasks: list[str]) -> list[Chain]:
    """The chains of the protocol's list.

    Raises:
        SetupError: one of them is malformed or impossible.
    """
    name = sequences["name"]
    try:
        chains = decode(sequences["list"], subtasks)
    except ValueError as error:
        raise SetupError(f"the list of sequences `{name}`: {error}") from None
    for index, chain in enumerate(chains):
        if problem := impossible(chain):
            raise SetupError(f"sequence {index} of `{name}`: {problem}")
    return chains
