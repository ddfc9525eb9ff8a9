"""The environment of one LIBERO task: gated cameras, and resets that depend on the trial alone."""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .substeps import Substeps, obstacle

RESET_MODES = ("pinned", "reference", "exact")
"""Where a reset takes the poses of fixtures from; described in `adapter`."""

# Robosuite's own step limit, beyond which it raises an error. The protocol's is lower.
_UPSTREAM_HORIZON = 1000
_MOST_RESETS = 200
"""Resets in a row that may find no place for everything: the tasks of the protocol need a few."""
_JOINT_NOISE = 0.02
"""Standard deviation in rad of the arm's first joint angles, as in the stored states."""
_PLACEHOLDER = np.zeros((1, 1, 3), dtype=np.uint8)


class CameraGate:
    """Lets cameras render only while it is open.

    Rendering is most of a step's cost, and a policy needs one image per chunk. Disabling an
    observable of robosuite shifts the moment in the control step at which it samples, so the
    sensors stay enabled and return a placeholder while the gate is closed. What they would have
    seen can be kept, to be drawn later.
    """

    def __init__(self) -> None:
        self.open = False
        self.keep: Callable[[], None] | None = None
        """Called instead of rendering."""

    def guard(self, sensor: Callable[[dict], object]) -> Callable[[dict], object]:
        """The sensor, returning a placeholder instead of rendering while the gate is closed."""

        @functools.wraps(sensor)  # Also copies robosuite's mark of the sensor's modality.
        def guarded(cache: dict) -> object:
            if self.open:
                return sensor(cache)
            if self.keep:
                self.keep()
            return _PLACEHOLDER

        return guarded


class Simulation:
    """The environment of one task."""

    def __init__(
        self,
        problem_class: type,
        problem_file: str,
        initial_states: NDArray[np.float64],
        cameras: list[dict],
        rendering: bool,
        control: dict,
        substeps: str,
    ) -> None:
        """Builds the environment.

        Args:
            problem_class: LIBERO's class for the problem.
            problem_file: the `.bddl` file.
            initial_states: [trials, n], as `tasks.initial_states` gives them.
            cameras: the protocol's cameras; empty when observations have no images.
            rendering: whether anything will be rendered.
            control: the protocol's `control`.
            substeps: one of `substeps.SUBSTEPS`; the results are equal.
        """
        import robosuite

        self.initial_states = initial_states
        self._gate = CameraGate()
        self.env = _gated(problem_class, self._gate)(
            problem_file,
            robots=[control["robot"]],
            controller_configs=robosuite.load_controller_config(
                default_controller=control["controller"]
            ),
            gripper_types="default",
            initialization_noise=None,
            use_camera_obs=bool(cameras),
            has_renderer=False,
            has_offscreen_renderer=rendering,
            control_freq=control["hz"],
            horizon=_UPSTREAM_HORIZON,
            hard_reset=False,
            camera_names=[camera["source"] for camera in cameras] or ["agentview"],
            camera_heights=[camera["height"] for camera in cameras] or 1,
            camera_widths=[camera["width"] for camera in cameras] or 1,
        )
        self._initializers = list(self.env.object_property_initializers)
        self._stream: list[tuple[Any, int]] = []
        self._stream_seed: int | None = None
        self._substeps: Substeps | None = None
        problem = obstacle(self.env) if substeps == "merged" else None
        if problem:
            print(f"LIBERO control steps: robosuite's own, {problem}", file=sys.stderr, flush=True)
        self._merges = substeps == "merged" and not problem
        self._sources = [camera["source"] for camera in cameras]
        self._kept: Any = None

    def reset(self, mode: str, seed: int, trial: int) -> None:
        """Sets a stored initial state, not yet settled.

        Args:
            mode: one of `RESET_MODES`.
            seed: the protocol's seed of the environment.
            trial: index of the stored state; in the modes `reference` and `exact` also of the
                reset in the official stream.
        """
        if mode == "pinned":
            np.random.seed(seed)
            self._until_placed()
        else:
            loads = self._fast_forward(seed, trial)
            if mode == "exact":
                self._hard_reset(loads)
            else:
                self._stream_reset(loads)
        self._set_state(self.initial_states[trial], clean=mode != "exact")
        self._merge_substeps()

    def sample(self, seed: int) -> None:
        """Sets an initial state drawn by the problem's own sampler, not yet settled.

        The arm's joints are drawn too, as in the stored states.

        Args:
            seed: of the generator; the state depends on nothing else.
        """
        np.random.seed(seed)
        calm = [robot.initialization_noise for robot in self.env.robots]
        for robot in self.env.robots:
            robot.initialization_noise = {"magnitude": _JOINT_NOISE, "type": "gaussian"}
        try:
            self._until_placed()
        finally:
            for robot, noise in zip(self.env.robots, calm, strict=True):
                robot.initialization_noise = noise
        self._set_state(np.asarray(self.env.sim.get_state().flatten()), clean=True)
        self._merge_substeps()

    def step(self, action: NDArray[np.float64], look: bool) -> bool:
        """Executes one control step; whether the goal is reached after it."""
        self._gate.open, self._kept = look, None
        with self._substeps.control_step() if self._substeps else contextlib.nullcontext():
            _, _, success, _ = self.env.step(action)
        self._gate.open = False
        return bool(success)

    def keep_looks(self) -> None:
        """From now on `look_again` works; costs a copy of the simulator's state per step."""
        self._gate.keep = self._keep

    def look_again(self) -> None:
        """Draws what the last step, taken without look, would have drawn with it."""
        if self._kept is None:
            raise RuntimeError("no step without look")
        data = self.env.sim.data
        now, data._data = data._data, self._kept
        self._gate.open = True
        try:
            for source in self._sources:
                observable = self.env._observables[f"{source}_image"]
                observable._current_observed_value = np.array(observable._sensor({}))
        finally:
            self._gate.open = False
            data._data = now

    def solved(self) -> bool:
        """Whether the goal holds in the current state; changes nothing."""
        return bool(self.env._check_success())

    def target(self) -> NDArray[np.float64] | None:
        """Position of the first object that the goal wants in or on something, [3]."""
        goal = self.env.parsed_problem["goal_state"]
        names = [literal[1] for literal in goal if literal[0] in ("in", "on")]
        if not names:
            return None
        return np.array(self.env.sim.data.body_xpos[self.env.obj_body_id[names[0]]])

    def observed(self, name: str) -> NDArray:
        """The last sample of an observable."""
        return np.asarray(self.env._observables[name].obs)

    def close(self) -> None:
        """Frees the simulator and its renderer."""
        self.env.close()

    def _keep(self) -> None:
        data = self.env.sim.data._data
        # All cameras sample at the same moment.
        if self._kept is None or self._kept.time != data.time:
            self._kept = copy.copy(data)

    def _merge_substeps(self) -> None:
        # A reset that reloads the model makes another simulator.
        if self._merges and (self._substeps is None or self._substeps.sim is not self.env.sim):
            self._substeps = Substeps(self.env.sim)

    def _set_state(self, state: NDArray[np.float64], clean: bool) -> None:
        """Sets the simulator's state, in the official loop's order of calls.

        The forced update is part of it: it shifts the moment at which observables sample.

        Args:
            state: time, joint positions, joint velocities.
            clean: whether to clear leftovers: the solver's warm start, from the reset's random
                placement, and the gripper's integrated command, from the previous episode.
        """
        env = self.env
        if clean:
            env.sim.data.qacc_warmstart[:] = 0.0
            gripper = env.robots[0].gripper
            gripper.current_action = np.zeros_like(gripper.current_action)
        env.sim.set_state_from_flattened(state)
        env.sim.forward()
        env._check_success()
        env._post_process()
        env._update_observables(force=True)
        if clean:
            env.sim.data.qacc_warmstart[:] = 0.0

    def _fast_forward(self, seed: int, trial: int) -> int:
        """Sets the generator to the start of the official stream's reset number `trial`.

        Returns:
            Number of times the official loop has loaded the model before that reset.
        """
        if self._stream_seed != seed:
            np.random.seed(seed)
            self._stream, self._stream_seed = [(np.random.get_state(), 1)], seed
        while len(self._stream) <= trial:
            state, loads = self._stream[-1]
            np.random.set_state(state)
            loads = self._stream_reset(loads)
            self._stream.append((np.random.get_state(), loads))
        state, loads = self._stream[trial]
        np.random.set_state(state)
        return loads

    def _stream_reset(self, loads: int) -> int:
        """A soft reset that draws as many random numbers as the official one; the loads after it.

        Each load of the model appends the samplers of doors, drawers and knobs to a list again,
        and all of the list draw at a reset, so official resets draw more and more numbers.
        """
        loads += self._until_placed(loads)
        self.env.object_property_initializers = list(self._initializers)
        return loads

    def _hard_reset(self, loads: int) -> None:
        """A reset that reloads the model, as load number `loads` of the official loop."""
        self.env.object_property_initializers = self._initializers * loads
        self.env.hard_reset = True
        try:
            self._until_placed()
        finally:
            self.env.hard_reset = False
            self.env.object_property_initializers = list(self._initializers)

    def _until_placed(self, loads: int | None = None) -> int:
        """Resets until the sampler finds a free position for everything, as the official loop does.

        Args:
            loads: number of times the official loop has loaded the model before; if given, the
                list of samplers grows with each reset.

        Returns:
            Number of resets.

        Raises:
            RuntimeError: there seems to be no free place, for example because another asset is
                larger than LIBERO's.
        """
        from robosuite.utils.errors import RandomizationError

        cause: Exception | None = None
        for resets in range(1, _MOST_RESETS + 1):
            if loads is not None:
                self.env.object_property_initializers = self._initializers * (loads + resets)
            try:
                self.env.reset()
            except RandomizationError as error:
                cause = error
                continue
            return resets
        raise RuntimeError(
            f"{_MOST_RESETS} resets in a row found no free place for every object ({cause}): "
            "compare the assets with LIBERO's own"
        ) from cause


def _gated(problem_class: type, gate: CameraGate) -> type:
    """The problem class with its camera sensors behind the gate, also after a hard reset."""

    def create_camera_sensors(self: object, *given: object, **named: object) -> tuple[list, list]:
        sensors, names = problem_class._create_camera_sensors(self, *given, **named)
        return [gate.guard(sensor) for sensor in sensors], names

    # LIBERO compares the name of the class with that of the problem.
    body = {"_create_camera_sensors": create_camera_sensors}
    return type(problem_class.__name__, (problem_class,), body)
