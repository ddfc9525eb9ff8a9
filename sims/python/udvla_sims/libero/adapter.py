"""The LIBERO adapter: suites spatial, object, goal and long of the protocol `libero`.

An episode depends on (suite, task, trial) alone: neither on what ran before it in the process nor
on which process runs it. The reset mode says where the poses of fixtures come from, which the
stored initial states do not hold:

- `pinned`: the generator is seeded before every reset; all trials of a task have the same
  fixtures.
- `reference`: the generator is seeded once per task, and trial k gets reset number k of that
  stream, as in the official evaluation loop.
- `exact`: as `reference`, but the model is reloaded and leftover solver state is kept: bitwise
  equal to the official loop, at seconds per episode.

With the option `initial_states` at `sampled`, states come from the task's own sampler instead, with
any number of trials: for demonstrations, which must not start where policies are evaluated.
"""

from __future__ import annotations

import gc
import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapter import (
    Observation,
    Progress,
    SetupError,
    checked_action,
    protocol_spec,
    quoted,
    side_by_side,
)
from . import runtime
from .assets import STAND_INS, check_playable, resolve_assets
from .renderers import choose_renderer
from .simulation import RESET_MODES, Simulation
from .substeps import SUBSTEPS
from .tasks import (
    Task,
    initial_states,
    package_root,
    problem_categories,
    suite_digest,
    suite_tasks,
)

FRAME_SIZE = 384
"""Height and width of each camera in a video frame, in pixels."""

INITIAL_STATES = ("stored", "sampled")
"""Where initial states come from: the task's file, or the sampler of its problem."""

_STATE = ["x", "y", "z", "rx", "ry", "rz", "finger_left", "finger_right"]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]
_FLIPS: dict[str, tuple[slice, slice]] = {
    "both": (slice(None, None, -1), slice(None, None, -1)),
    "vertical": (slice(None, None, -1), slice(None)),
    "none": (slice(None), slice(None)),
}


class Adapter:
    """One LIBERO simulator; keeps the environment of the last task that was reset."""

    def __init__(self, config: dict) -> None:
        """Checks versions, files and the renderer.

        Args:
            config: as in the contract; `assets` is a folder or `stand-ins`, `substeps` one of
                `SUBSTEPS` and `initial_states` one of `INITIAL_STATES` (the defaults are the
                first); `sample_seed` belongs to sampled states, `clearance` (in meters) to the
                expert.
        """
        protocol, environment = config["protocol"], config["protocol"]["environment"]
        self._scratch = Path(config["scratch"])
        self._images, self._video = bool(config["images"]), bool(config["video"])
        self._environment = environment
        self._suites = {suite["name"]: suite for suite in protocol["suites"]}
        if environment["reset_mode"] not in RESET_MODES:
            raise SetupError(f"`{environment['reset_mode']}` is not a reset mode")
        self._substeps = config.get("substeps") or SUBSTEPS[0]
        if self._substeps not in SUBSTEPS:
            raise SetupError(f"`substeps` is not one of {quoted(SUBSTEPS)}")
        self._sampled = self._wants_samples(config)
        self._sample_seed = int(config.get("sample_seed") or 0)
        self._expert_options = _expert_options(config)
        setting = runtime.package_versions()
        self._package = package_root()
        self._tasks = {name: self._protocol_tasks(suite) for name, suite in self._suites.items()}
        self._assets = resolve_assets(
            config.get("assets"),
            self._package,
            self._tasks,
            config.get("suites"),
            self._scratch,
        )
        if self._assets.note:
            print(f"LIBERO assets: {self._assets.note}", file=sys.stderr, flush=True)
        setting |= {"assets": self._assets.kind, "assets_sha256": self._assets.sha256}
        if self._assets.kind == STAND_INS:
            setting["comparable"] = "no: stand-in assets"
        elif self._assets.foreign:
            setting["comparable"] = f"no: {_altered(self._assets.foreign)}"
        if self._sampled:
            setting["initial_states"] = f"sampled, seed {self._sample_seed}"
            setting["comparable"] = setting.get("comparable", "no: sampled initial states")
        setting |= {name: f"{value} m" for name, value in self._expert_options.items()}
        setting |= self._start(config)
        self.spec = protocol_spec(environment, _STATE, _ACTION, setting)
        self._simulation: Simulation | None = None
        self._episode_task: tuple[str, int] | None = None
        self._expert: Any = None

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Sets the stored initial state `trial` of the task, or a sampled one, settled."""
        tasks = self._suite_tasks(suite, task)
        if self._simulation is None or self._episode_task != (suite, task):
            check_playable(self._assets, suite, tasks)
            self.close()
            self._simulation, self._episode_task = self._build(tasks[task]), (suite, task)
        simulation = self._simulation
        if not self._sampled and not 0 <= trial < len(simulation.initial_states):
            raise ValueError(f"suite `{suite}`, task {task} has no trial {trial}")
        self._instruction = tasks[task].instruction
        self._max_steps = int(self._suites[suite]["max_steps"])
        self._steps, self._done, self._expert = 0, False, None
        if self._sampled:
            simulation.sample(sample_seed(self._sample_seed, suite, task, trial))
        else:
            simulation.reset(self._environment["reset_mode"], self._environment["env_seed"], trial)
        settle = np.asarray(self._environment["settle_action"], dtype=np.float64)
        count = self._environment["settle_steps"]
        for step in range(count):
            simulation.step(settle, look=self._images and step == count - 1)

    def observe(self) -> Observation:
        """The current observation; the images are those of the last step with look."""
        simulation = self._current()
        images = []
        for camera in self._environment["cameras"] if self._images else []:
            rows, columns = _FLIPS[camera["flip"]]
            image = simulation.observed(f"{camera['source']}_image")
            images.append(np.ascontiguousarray(image[rows, columns]))
        state = np.concatenate(
            [
                simulation.observed("robot0_eef_pos"),
                axis_angle(simulation.observed("robot0_eef_quat")),
                simulation.observed("robot0_gripper_qpos"),
            ]
        )
        return Observation(images, state.astype(np.float32), self._instruction)

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Executes one control step."""
        command = checked_action(action, len(_ACTION), np.float64)
        simulation = self._current()
        if self._done:
            raise RuntimeError("the episode is over; reset first")
        success = simulation.step(command, look=look and self._images)
        self._steps += 1
        truncated = not success and self._steps >= self._max_steps
        self._done = success or truncated
        return Progress(int(success), self._done, truncated)

    def solved(self) -> bool:
        """Whether the goal holds in the current state."""
        return self._current().solved()

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .expert import Expert

        if self._expert is None:
            self._expert = Expert(self._current().env, **self._expert_options)
        return np.asarray(self._expert.action(), dtype=np.float32)

    def look_again(self) -> None:
        """Draws what the last step would have drawn with look; for sampled initial states."""
        self._current().look_again()

    def target(self) -> NDArray[np.float32] | None:
        """Position of the object that the goal wants moved first, in meters."""
        place = self._current().target()
        return None if place is None else place.astype(np.float32)

    def frame(self) -> NDArray[np.uint8]:
        """All cameras from left to right, upright and not mirrored, for the video."""
        render = self._current().env.sim.render
        sources = [camera["source"] for camera in self._environment["cameras"]]
        size = {"height": FRAME_SIZE, "width": FRAME_SIZE}
        return side_by_side([render(camera_name=source, **size)[::-1] for source in sources])

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

    def _wants_samples(self, config: dict) -> bool:
        found = config.get("initial_states") or INITIAL_STATES[0]
        if found not in INITIAL_STATES:
            raise SetupError(f"`initial_states` is not one of {quoted(INITIAL_STATES)}")
        return found == "sampled"

    def _protocol_tasks(self, suite: dict) -> list[Task]:
        """The suite's installed tasks, if they are those of the protocol."""
        tasks = suite_tasks(self._package, suite["details"]["upstream"])
        same_instructions = [task.instruction for task in tasks] == suite["tasks"]
        expected = suite["details"]["files_sha256"]
        if not same_instructions or suite_digest(tasks) != expected:
            raise SetupError(
                f"the installed `hf-libero` has other tasks or initial states for suite "
                f"`{suite['name']}` than the protocol; run "
                "`pip install --no-deps --force-reinstall hf-libero==0.1.4`"
            )
        return tasks

    def _start(self, config: dict) -> dict[str, str]:
        """Imports the simulator and returns the renderer's settings."""
        renderer = None
        if self._images or self._video:
            cards, device = config.get("cards", ""), config.get("egl_device", "")
            card = config.get("card", "")
            renderer = choose_renderer(config.get("renderer"), cards, device, card)
        runtime.prepare(renderer, self._scratch)
        self._problems = runtime.problem_classes(self._package, self._scratch)
        if renderer is None:
            return {}
        print(f"LIBERO renderer: {renderer.name}, {renderer.why}", file=sys.stderr, flush=True)
        return {
            "renderer": renderer.name,
            "gl": runtime.renderer_string(renderer),
            "machine.renderer": renderer.why,
        }

    def _build(self, task: Task) -> Simulation:
        runtime.use_assets(self._assets.root)
        problem, _ = problem_categories(task.problem)
        simulation = Simulation(
            self._problems[problem],
            str(task.problem),
            initial_states(task.initial_states),
            self._environment["cameras"] if self._images else [],
            rendering=self._images or self._video,
            control=self._environment["control"],
            substeps=self._substeps,
        )
        if self._sampled and self._images:
            simulation.keep_looks()
        return simulation

    def _suite_tasks(self, suite: str, task: int) -> list[Task]:
        if suite not in self._tasks:
            raise ValueError(f"the protocol has no suite `{suite}`")
        if not 0 <= task < len(self._tasks[suite]):
            raise ValueError(f"suite `{suite}` has no task {task}")
        return self._tasks[suite]

    def _current(self) -> Simulation:
        if self._simulation is None:
            raise RuntimeError("no episode: reset comes first")
        return self._simulation


def _altered(files: list[str]) -> str:
    names = ", ".join("/".join(path.split("/")[-2:]) for path in files[:2])
    rest = f" and {len(files) - 2} more" if len(files) > 2 else ""
    return f"other files than LIBERO's: {names}{rest}"


def sample_seed(seed: int, suite: str, task: int, trial: int) -> int:
    """The seed of the generator that draws an episode's initial state, 32 bits."""
    digest = hashlib.sha256(f"{seed}/{suite}/{task}/{trial}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def axis_angle(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation vector in radians, [3], of a unit quaternion (x, y, z, w).

    The angle is in [0, 2 pi]; the identity gives zeros.

    Source: robosuite 1.4.0, utils/transform_utils.py (`quat2axisangle`).
    """
    w = float(np.clip(quaternion[3], -1.0, 1.0))
    sine = math.sqrt(1.0 - w * w)
    if math.isclose(sine, 0.0):
        return np.zeros(3)
    return np.asarray(quaternion[:3]) * 2.0 * math.acos(w) / sine


def _expert_options(config: dict) -> dict[str, float]:
    """What the expert does otherwise than by default."""
    text = config.get("clearance")
    if not text:
        return {}
    try:
        clearance = float(text)
    except ValueError:
        clearance = math.nan
    if not 0 < clearance <= 0.2:
        raise SetupError(f"`clearance` is a number of meters from 0 to 0.2, not `{text}`")
    return {"clearance": clearance}
