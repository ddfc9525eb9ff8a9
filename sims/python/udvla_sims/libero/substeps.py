"""The physics of a control step without what robosuite computes again, equal to the bit.

A control step is 25 substeps, and in each robosuite runs MuJoCo's whole pipeline three times on the
same positions and velocities:

1. `forward` at the start of the substep, for the controller;
2. `forward` in the controller. Between 1 and 2 only the solver's warm start has changed, by 1;
3. `step`, after the controller has set the torques.

Positions and velocities decide kinematics, contacts, inertias and bias forces. `Substeps` computes
these in 1 alone. The stage after them (actuators, accelerations, constraint solver) runs three
times, as in robosuite: each solution is the warm start of the next, so leaving one out would change
the last bits. Sensors that need accelerations are computed where they are read: in 2 of the first
substep, for the robot's force and torque, and in 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SUBSTEPS = ("merged", "plain")
"""Values of the adapter's option `substeps`: as described here, or robosuite's own."""
_VERSIONS = {"robosuite": "1.4.0", "mujoco": "3.2.3"}
"""Those for which all tasks were compared (docs/measurements/simulators.md)."""


class Substeps:
    """Replaces `forward` and `step` of a robosuite simulator during control steps."""

    def __init__(self, sim: Any) -> None:  # noqa: ANN401
        """Replaces the methods.

        Args:
            sim: the environment's `MjSim`, for which `obstacle` found nothing.
        """
        import mujoco

        self._mujoco, self.sim = mujoco, sim
        self._before_velocity = int(mujoco.mjtStage.mjSTAGE_NONE)
        self._after_velocity = int(mujoco.mjtStage.mjSTAGE_VEL)
        self._plain_forward, self._plain_step = sim.forward, sim.step
        self._stepping = self._known = self._first = False
        sim.forward, sim.step = self._forward, self._step

    @contextmanager
    def control_step(self) -> Iterator[None]:
        """The time in which robosuite executes a control step.

        Outside of it, anybody may set positions and velocities between two calls.
        """
        self._stepping, self._known, self._first = True, False, True
        try:
            yield
        finally:
            self._stepping = self._known = False

    def _forward(self) -> None:
        """Computes everything from positions and velocities, or, if they are known, the rest."""
        if not self._stepping:
            self._plain_forward()
            return
        done = self._after_velocity if self._known else self._before_velocity
        read = self._known and self._first
        self._mujoco.mj_forwardSkip(*self._state(), done, not read)
        self._known = True

    def _step(self) -> None:
        """Integrates; as in `mj_step`, a state that is not finite is reset."""
        if not self._known:
            self._plain_step()
            return
        model, data = self._state()
        self._known = self._first = False
        self._mujoco.mj_checkPos(model, data)
        self._mujoco.mj_checkVel(model, data)
        # A check that resets the state also resets the time.
        if data.time == 0.0:
            self._plain_step()
        else:
            self._mujoco.mj_step2(model, data)

    def _state(self) -> tuple[Any, Any]:
        return self.sim.model._model, self.sim.data._data


def obstacle(env: Any) -> str | None:  # noqa: ANN401
    """Why `Substeps` might not be equal to an environment's own substeps; None if it is.

    Args:
        env: the robosuite-level environment, after its first reset.
    """
    import mujoco
    import robosuite
    from robosuite.controllers.osc import OperationalSpaceController
    from robosuite.utils.binding_utils import MjSim

    for package in (robosuite, mujoco):
        name, version = package.__name__, package.__version__
        if version != _VERSIONS[name]:
            return f"{name} is {version}, not {_VERSIONS[name]}"
    if type(env.sim) is not MjSim:
        return f"the simulator is a `{type(env.sim).__name__}`"
    for robot in env.robots:
        if type(robot.controller) is not OperationalSpaceController:
            return f"the controller is a `{type(robot.controller).__name__}`"
    model = env.sim.model._model
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
        return "the integrator is RK4"
    if (model.sensor_needstage != mujoco.mjtStage.mjSTAGE_ACC).any():
        return "a sensor reads positions or velocities"
    return None
