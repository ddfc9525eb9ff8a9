"""A scripted expert for SimplerEnv's WidowX tasks: take the source, carry it, put it down.

It reads the simulator's state (which no policy sees) and acts only through the actions that it
returns. It verifies an installation end to end without a model: units, axes and signs of actions,
gripper, success rule and step limits. All poses are in the frame of the robot's base, in meters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
Actions = Iterator[NDArray[np.float32]]

OPEN, CLOSED = 1.0, -1.0
_STEP, _TURN = 0.05, 0.3
"""Largest change of the tool's target per control step, in meters and radians."""
_NEAR, _TURNED = 0.008, 0.08
"""Tolerances of reaching a pose, in meters and radians."""


class Plan(NamedTuple):
    """Numbers of a task, in meters."""

    above: float
    """Height above the grasp from which the tool descends."""
    lift: float
    """Height by which the source is lifted."""
    release: float
    """Height above the target at which the source is released."""
    along: float = 0.0
    """Position of the grasp along the source's length."""
    lowest: float = -1.0
    """Lowest grasp above the table; the fingers reach 16 mm below the tool and do not close when
    pressed onto the table."""
    period: float = math.pi
    """Rotational symmetry of the source in radians."""


_PLANS = {
    "spoon": Plan(above=0.06, lift=0.08, release=0.03, along=0.02, lowest=0.018),
    "carrot": Plan(above=0.06, lift=0.08, release=0.03, lowest=0.017),
    "stack": Plan(above=0.06, lift=0.08, release=0.032, lowest=0.017, period=math.pi / 2),
    "eggplant": Plan(above=0.08, lift=0.16, release=0.06),
}


class Expert:
    """Solves one episode, one control step at a time."""

    def __init__(self, world: Any, task: dict, table: float) -> None:  # noqa: ANN401
        """Plans an episode that has just started.

        Args:
            world: an `adapter.World`.
            task: the protocol's task.
            table: height of the table's top above the robot's base in meters.
        """
        self._world, self._plan = world, _PLANS[task["name"]]
        self._lowest = table + self._plan.lowest
        self._grip = OPEN
        self._turn = self._grasp_turn()
        self._actions = self._solve()

    def action(self) -> NDArray[np.float32]:
        """The next control step's action."""
        return next(self._actions)

    def _solve(self) -> Actions:
        plan = self._plan
        grasp = self._grasp_place()
        yield from self._lead(_over(grasp, plan.above), steps=40, turned=True)
        yield from self._lead(grasp, steps=8)
        self._grip = CLOSED
        yield from self._lead(grasp, steps=3, near=-1.0)
        lifted = _over(self._tool()[0], plan.lift)
        yield from self._lead(lifted, steps=8)
        # Offset of the source in the gripper.
        offset = self._tool()[0] - self._place(self._world.source)
        goal = self._place(self._world.target) + offset
        carried = np.array([goal[0], goal[1], lifted[2]])
        yield from self._lead(carried, steps=12)
        yield from self._lead(_over(goal, plan.release), steps=8, near=0.006)
        self._grip = OPEN
        yield from self._lead(self._tool()[0], steps=2, near=-1.0)
        while True:
            yield from self._lead(carried, steps=1, near=-1.0)

    def _lead(self, goal: Array, steps: int, near: float = _NEAR, turned: bool = False) -> Actions:
        """Moves the tool to a position until it is reached or the steps are used up."""
        for _ in range(steps):
            place, rotation = self._tool()
            away = float(np.linalg.norm(goal - place))
            askew = (self._turn * rotation.inv()).magnitude()
            if away <= near and (not turned or askew <= _TURNED):
                return
            yield self._toward(goal)

    def _toward(self, goal: Array) -> NDArray[np.float32]:
        """The action that moves the controller's target towards a position.

        The controller rotates its target about the tool, not about the target itself; the
        resulting displacement is subtracted.
        """
        target = self._world.tool_target
        aim, place = np.asarray(target.p, dtype=float), self._tool()[0]
        turn = (self._turn * _rotation(target.q).inv()).as_rotvec()
        turn *= min(1.0, _TURN / max(float(np.linalg.norm(turn)), 1e-9))
        move = goal - aim
        move *= min(1.0, _STEP / max(float(np.linalg.norm(move)), 1e-9))
        swung = place + Rotation.from_rotvec(turn).apply(aim - place)
        move = move + aim - swung
        return np.array([*move, *turn, self._grip], dtype=np.float32)

    def _grasp_place(self) -> Array:
        """Position of the tool at the grasp."""
        pose = self._in_base(self._world.source.pose)
        place = np.asarray(pose.p, dtype=float) + _rotation(pose.q).apply([self._plan.along, 0, 0])
        return np.array([place[0], place[1], max(place[2], self._lowest)])

    def _grasp_turn(self) -> Rotation:
        """Rotation of the tool pointing down, fingers across the source, by the smallest turn."""
        pose = self._in_base(self._world.source.pose)
        long = _rotation(pose.q).apply([1, 0, 0])
        across = math.atan2(long[1], long[0]) + math.pi / 2
        fingers = self._tool()[1].apply([0, 1, 0])
        now = math.atan2(fingers[1], fingers[0])
        period = self._plan.period
        yaw = across + round((now - across) / period) * period
        x, y = np.array([0.0, 0.0, -1.0]), np.array([math.cos(yaw), math.sin(yaw), 0.0])
        return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=1))

    def _tool(self) -> tuple[Array, Rotation]:
        pose = self._in_base(self._world.tool.pose)
        return np.asarray(pose.p, dtype=float), _rotation(pose.q)

    def _place(self, thing: Any) -> Array:  # noqa: ANN401
        return np.asarray(self._in_base(thing.pose).p, dtype=float)

    def _in_base(self, pose: Any) -> Any:  # noqa: ANN401
        return self._world.body.pose.inv().transform(pose)


def _over(place: Array, height: float) -> Array:
    """The position `height` above another."""
    return place + np.array([0.0, 0.0, height])


def _rotation(quaternion: NDArray[np.float32]) -> Rotation:
    """A rotation from sapien's w-first quaternion."""
    w, x, y, z = (float(number) for number in quaternion)
    return Rotation.from_quat([x, y, z, w])
