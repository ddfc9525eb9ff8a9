"""The LIBERO adapter: suites spatial, object, goal and long of the protocol `libero`.

An episode is (suite, task, trial) and depends on nothing else: neither on what ran before it in
the process nor on which process runs it. Three reset modes say where the poses of fixtures come
from, which the stored initial states do not hold:

- `pinned`: the generator is seeded before every reset, so all trials of a task have the same
  fixtures.
- `reference`: the generator is seeded once per task and trial k gets reset number k of that
  stream, as in the official evaluation loop.
- `exact`: as `reference`, but the model is loaded anew and left-over solver state stays, as in
  the official loop; its bits at seconds per episode.
"""

from __future__ import annotations

import gc
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import libero_assets, libero_runtime, libero_tasks
from .adapter import Observation, Progress, SetupError, Spec
from .libero_simulation import RESET_MODES, Simulation

FRAME_SIZE = 384
"""Height and width of a video frame in pixels."""

_STATE = ["x", "y", "z", "rx", "ry", "rz", "finger_left", "finger_right"]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]
_FLIPS: dict[str, tuple[slice, slice]] = {
    "both": (slice(None, None, -1), slice(None, None, -1)),
    "vertical": (slice(None, None, -1), slice(None)),
    "none": (slice(None), slice(None)),
}


class Adapter:
    """One LIBERO simulator; keeps the environment of the task that was reset last."""

    spec: Spec

    def __init__(self, config: dict) -> None:
        """Checks versions, files and the renderer; see `adapter.Adapter`.

        Args:
            config: as in the contract; `assets` is a folder or `stand-ins`.
        """
        protocol, environment = config["protocol"], config["protocol"]["environment"]
        self._scratch = Path(config["scratch"])
        self._images, self._video = bool(config["images"]), bool(config["video"])
        self._environment = environment
        self._suites = {suite["name"]: suite for suite in protocol["suites"]}
        if environment["reset_mode"] not in RESET_MODES:
            raise SetupError(f"`{environment['reset_mode']}` is not a reset mode")
        setting = libero_runtime.versions()
        self._package = libero_tasks.package_root()
        self._tasks = {name: self._checked(suite) for name, suite in self._suites.items()}
        self._assets = libero_assets.resolve(
            config.get("assets"),
            self._package,
            self._tasks,
            config.get("suites"),
            self._scratch,
        )
        if self._assets.note:
            print(f"LIBERO assets: {self._assets.note}", file=sys.stderr, flush=True)
        setting |= {"assets": self._assets.kind, "assets_sha256": self._assets.sha256}
        if self._assets.kind == libero_assets.STAND_INS:
            setting["comparable"] = "no: stand-in assets"
        setting |= self._start(config.get("renderer"))
        cameras = environment["cameras"]
        self.spec = Spec(
            cameras=[(camera["name"], camera["height"], camera["width"]) for camera in cameras],
            state=list(_STATE),
            action=list(_ACTION),
            control_hz=float(environment["control"]["hz"]),
            setting=setting,
        )
        self._simulation: Simulation | None = None
        self._episode_task: tuple[str, int] | None = None
        self._expert: Any = None

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Brings the stored initial state `trial` of the task, settled."""
        tasks = self._known(suite, task)
        if self._simulation is None or self._episode_task != (suite, task):
            libero_assets.check_playable(self._assets, suite, tasks)
            self.close()
            self._simulation, self._episode_task = self._build(tasks[task]), (suite, task)
        simulation = self._simulation
        if not 0 <= trial < len(simulation.initial_states):
            raise ValueError(f"suite `{suite}`, task {task} has no trial {trial}")
        self._instruction = tasks[task].instruction
        self._max_steps = int(self._suites[suite]["max_steps"])
        self._steps, self._done, self._expert = 0, False, None
        simulation.reset(self._environment["reset_mode"], self._environment["env_seed"], trial)
        settle = np.asarray(self._environment["settle_action"], dtype=np.float64)
        count = self._environment["settle_steps"]
        for step in range(count):
            simulation.step(settle, look=self._images and step == count - 1)

    def observe(self) -> Observation:
        """What the policy sees now; the images are those of the last looking step."""
        simulation = self._current()
        images = []
        for camera in self._environment["cameras"] if self._images else []:
            rows, columns = _FLIPS[camera["flip"]]
            picture = simulation.observed(f"{camera['source']}_image")
            images.append(np.ascontiguousarray(picture[rows, columns]))
        state = np.concatenate(
            [
                simulation.observed("robot0_eef_pos"),
                axis_angle(simulation.observed("robot0_eef_quat")),
                simulation.observed("robot0_gripper_qpos"),
            ]
        )
        return Observation(images, state.astype(np.float32), self._instruction)

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Plays one control step; see `adapter.Adapter`."""
        command = np.asarray(action, dtype=np.float64)
        if command.shape != (len(_ACTION),):
            raise ValueError(f"an action has {len(_ACTION)} numbers, not shape {command.shape}")
        if not np.isfinite(command).all():
            raise ValueError(f"the action {command.tolist()} is not finite")
        simulation = self._current()
        if self._done:
            raise RuntimeError("the episode is over; reset first")
        success = simulation.step(command, look=look and self._images)
        self._steps += 1
        truncated = not success and self._steps >= self._max_steps
        self._done = success or truncated
        return Progress(int(success), self._done, truncated)

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .libero_expert import Expert

        if self._expert is None:
            self._expert = Expert(self._current().env)
        return np.asarray(self._expert.action(), dtype=np.float32)

    def frame(self) -> NDArray[np.uint8]:
        """The scene from the front, right way up and not mirrored, for the video."""
        picture = self._current().env.sim.render(
            camera_name="agentview", height=FRAME_SIZE, width=FRAME_SIZE
        )
        return np.ascontiguousarray(picture[::-1])

    def state_bytes(self) -> bytes:
        """Simulated time, joint positions and joint velocities as little-endian f64."""
        state = self._current().env.sim.get_state().flatten()
        return np.asarray(state, dtype="<f8").tobytes()

    def close(self) -> None:
        """Frees the current task's simulator; a later `reset` builds it again."""
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None
            self._expert = None
            gc.collect()

    def _checked(self, suite: dict) -> list[libero_tasks.Task]:
        """The suite's installed tasks, which must be those of the protocol."""
        tasks = libero_tasks.suite_tasks(self._package, suite["details"]["upstream"])
        same_words = [task.instruction for task in tasks] == suite["tasks"]
        expected = suite["details"]["files_sha256"]
        if not same_words or libero_tasks.suite_digest(tasks) != expected:
            raise SetupError(
                f"the installed `hf-libero` has other tasks or initial states for suite "
                f"`{suite['name']}` than the protocol; type "
                "`pip install --no-deps --force-reinstall hf-libero==0.1.4`"
            )
        return tasks

    def _start(self, wanted: str | None) -> dict[str, str]:
        """Imports the simulator; the settings that belong to the renderer."""
        renderer = None
        if self._images or self._video:
            renderer = libero_runtime.choose_renderer(wanted)
        libero_runtime.prepare(renderer, self._scratch)
        self._problems = libero_runtime.problem_classes(self._package, self._scratch)
        if renderer is None:
            return {}
        return {"renderer": renderer, "gl": libero_runtime.renderer_string(renderer)}

    def _build(self, task: libero_tasks.Task) -> Simulation:
        libero_runtime.use_assets(self._assets.root)
        problem, _ = libero_tasks.problem_categories(task.problem)
        return Simulation(
            self._problems[problem],
            str(task.problem),
            libero_tasks.initial_states(task.initial_states),
            self._environment["cameras"] if self._images else [],
            rendering=self._images or self._video,
            control=self._environment["control"],
        )

    def _known(self, suite: str, task: int) -> list[libero_tasks.Task]:
        if suite not in self._tasks:
            raise ValueError(f"the protocol has no suite `{suite}`")
        if not 0 <= task < len(self._tasks[suite]):
            raise ValueError(f"suite `{suite}` has no task {task}")
        return self._tasks[suite]

    def _current(self) -> Simulation:
        if self._simulation is None:
            raise RuntimeError("no episode was reset yet")
        return self._simulation


def axis_angle(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit quaternion (x, y, z, w) as axis times angle in radians.

    The angle is 0 to 2 pi; no rotation gives zeros.
    """
    w = float(np.clip(quaternion[3], -1.0, 1.0))
    sine = math.sqrt(1.0 - w * w)
    if math.isclose(sine, 0.0):
        return np.zeros(3)
    return np.asarray(quaternion[:3]) * 2.0 * math.acos(w) / sine
