"""The CALVIN adapter: chains of five sub-tasks in environment D, on pybullet and numpy alone.

An episode is a chain: trial k is entry k of the protocol's list. Between sub-tasks nothing is
reset. Two reset modes say what comes before a chain:

- `isolated`: what the physics engine remembers of earlier chains is cleared, so a chain's result
  depends on nothing that ran before it.
- `reference`: it is left, as in the benchmark's own environment, whose results depend on the
  order of the chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import calvin_cameras, calvin_files, calvin_sequences
from .adapter import Observation, Progress, SetupError, Spec

_STATE = [
    *("x", "y", "z", "rx", "ry", "rz", "gripper_width"),
    *(f"joint_{index}" for index in range(7)),
    "gripper_command",
]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]


class Adapter:
    """One CALVIN simulator; built at the first reset and kept."""

    spec: Spec

    def __init__(self, config: dict) -> None:
        """Checks versions, files, the list of chains and the renderer; see `adapter.Adapter`.

        Args:
            config: as in the contract; `calvin_root` is the user's checkout.
        """
        protocol, environment = config["protocol"], config["protocol"]["environment"]
        self._environment = environment
        self._upstream = config.get("adapter") == "upstream"
        self._suites = {suite["name"]: suite for suite in protocol["suites"]}
        (suite,) = protocol["suites"]
        self._subtasks = {subtask["name"]: subtask for subtask in suite["details"]["subtasks"]}
        setting = calvin_files.versions()
        from .calvin_scene import RESET_MODES

        if environment["reset_mode"] not in RESET_MODES:
            raise SetupError(f"`{environment['reset_mode']}` is not a reset mode")
        self._chains = _playable(suite, list(self._subtasks))
        self._files = calvin_files.find(config.get("calvin_root"), suite["details"])
        setting |= {"assets": "calvin_env", "assets_sha256": self._files.sha256, "adapter": "slim"}
        if self._files.sha256 != environment["data_sha256"]:
            setting["comparable"] = "no: other scene files than CALVIN's"
        self._images, self._video = bool(config["images"]), bool(config["video"])
        self._renderer = None
        if self._images or self._video:
            renderer = config.get("renderer")
            self._renderer = calvin_cameras.choose(renderer, setting["pybullet"])
        setting["renderer"] = self._renderer.name if self._renderer else "none"
        if self._upstream:
            setting |= self._checked_upstream()
        cameras = environment["cameras"]
        self.spec = Spec(
            cameras=[(camera["name"], camera["height"], camera["width"]) for camera in cameras],
            state=list(_STATE),
            action=list(_ACTION),
            control_hz=float(environment["control"]["hz"]),
            setting=setting,
        )
        self._scene: Any = None
        self._expert: Any = None
        self._running = False

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Brings the initial state of chain `trial`, and begins its first sub-task."""
        if suite not in self._suites or task != 0:
            raise ValueError(f"the protocol has no suite `{suite}` with a task {task}")
        if not 0 <= trial < len(self._chains):
            raise ValueError(f"the list has no chain {trial}")
        if self._scene is None:
            self._build()
        state, self._chain = self._chains[trial]
        self._max_steps = int(self._suites[suite]["max_steps"])
        robot, scene = calvin_sequences.start_of(state)
        self._scene.reset(robot, scene, self._environment["reset_mode"])
        self._running, self._expert = True, None
        self._begin(0)

    def observe(self) -> Observation:
        """What the policy sees now; pictures are drawn only here."""
        scene = self._current()
        images = self._cameras.pictures() if self._images else []
        subtask = self._subtasks[self._chain[min(self._stage, len(self._chain) - 1)]]
        return Observation(
            images, scene.robot_state().astype(np.float32), str(subtask["instruction"])
        )

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Plays one control step; see `adapter.Adapter`."""
        command = _checked(action)
        scene = self._current()
        if not self._running:
            raise RuntimeError("the chain is over; reset first")
        scene.step(command)
        self._steps += 1
        if self._scene.solved():
            self._begin(self._stage + 1)
        truncated = self._steps >= self._max_steps
        self._running = self._stage < len(self._chain) and not truncated
        return Progress(self._stage, not self._running, truncated)

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .calvin_expert import Expert

        if self._expert is None:
            self._expert = Expert(self._current(), self._chain[self._stage])
        return self._expert.action()

    def frame(self) -> NDArray[np.uint8]:
        """The static camera's picture."""
        self._current()
        return self._cameras.picture(0)

    def state_bytes(self) -> bytes:
        """Poses, joints and velocities of everything that moves, as little-endian f64."""
        return np.asarray(self._current().whole_state(), dtype="<f8").tobytes()

    def close(self) -> None:
        """Frees the simulation; a later `reset` builds it again."""
        if self._scene is not None:
            self._scene.close()
            self._scene, self._expert = None, None

    def _begin(self, stage: int) -> None:
        """Begins a sub-task from where the scene is; the last one is followed by none."""
        self._stage, self._steps, self._expert = stage, 0, None
        if stage < len(self._chain):
            self._scene.begin(self._chain[stage])

    def _build(self) -> None:
        from .calvin_scene import Scene

        if self._upstream:
            self._build_upstream()
            return
        bullet = calvin_cameras.connect(self._renderer)
        rules = {name: subtask["rule"] for name, subtask in self._subtasks.items()}
        self._scene = Scene(bullet, self._files.data, self._environment["control"], rules)
        self._cameras = calvin_cameras.Cameras(self._scene, self._environment["cameras"])

    def _build_upstream(self) -> None:
        from .calvin_upstream import UpstreamCameras, UpstreamScene

        egl = self._renderer is not None and self._renderer.plugin is not None
        self._scene = UpstreamScene(draws=self._renderer is not None, egl=egl)
        self._cameras = UpstreamCameras(self._scene, self._environment["cameras"])

    def _checked_upstream(self) -> dict[str, str]:
        """Which `calvin_env` it is, for the setting.

        Raises:
            SetupError: it is not there, or EGL would have to start twice in this process.
        """
        from .calvin_upstream import find

        egl = self._renderer is not None and self._renderer.plugin is not None
        if egl and self._environment["reset_mode"] == "isolated":
            raise SetupError(
                "`--adapter upstream` starts a new simulation for every chain, and EGL starts once "
                "in a process; pass `--reset-mode reference` or `--renderer tiny`"
            )
        return find(self._files.root)

    def _current(self) -> Any:  # noqa: ANN401
        if self._scene is None:
            raise RuntimeError("no episode was reset yet")
        return self._scene


def _checked(action: NDArray[np.float32]) -> NDArray[np.float32]:
    """The action, if the robot can take it.

    Raises:
        ValueError: it has the wrong length, is not finite, or its gripper is neither -1 nor 1.
    """
    command = np.asarray(action, dtype=np.float32)
    if command.shape != (len(_ACTION),):
        raise ValueError(f"an action has {len(_ACTION)} numbers, not shape {command.shape}")
    if not np.isfinite(command).all():
        raise ValueError(f"the action {command.tolist()} is not finite")
    if command[6] not in (-1, 1):
        raise ValueError(f"the gripper takes -1 (close) or 1 (open), not {float(command[6])!r}")
    return command


def _playable(suite: dict, names: list[str]) -> list[calvin_sequences.Chain]:
    """The chains of the protocol's list.

    Raises:
        SetupError: one of them cannot be played.
    """
    sequences = suite["details"]["sequences"]
    try:
        chains = calvin_sequences.decode(sequences["list"], names)
    except ValueError as error:
        raise SetupError(f"the list of sequences `{sequences['name']}`: {error}") from None
    for index, chain in enumerate(chains):
        problem = calvin_sequences.impossible(chain)
        if problem is not None:
            raise SetupError(f"sequence {index} of `{sequences['name']}`: {problem}")
    return chains
