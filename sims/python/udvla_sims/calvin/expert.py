"""A scripted expert for CALVIN's sub-tasks.

It reads the simulator's state (which no policy sees) and acts only through the actions that it
returns. It verifies an installation end to end without a model: action scaling, gripper sign,
lights, success rules, stages and step limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Actions = Iterator[NDArray[np.float32]]

OPEN, CLOSED = 1.0, -1.0
DOWN = (math.pi, 0.0, math.pi / 2)
"""Euler angles of the tool when it points down and the fingers close along x."""
TILTED = (math.pi - 1.0, 0.0, math.pi / 2)
"""Euler angles of the tool tilted towards the cabinet."""
LEAN = 0.2
"""Tilt of the tool towards the robot, in radians, to reach into the cabinet."""
SAFE = 0.62
"""Height in meters that is free of obstacles."""
GRASP = 0.457
"""Height in meters of the tool at the grasp of a block on the table."""
_DOOR = 0.12
"""Half the width of the sliding door in meters."""
_EMPTY = 0.01
"""Largest width in meters of a closed gripper that holds nothing."""


class Expert:
    """Solves one sub-task, one control step at a time."""

    def __init__(self, scene: Any, subtask: str) -> None:  # noqa: ANN401
        """Starts a sub-task from the current state.

        Args:
            scene: a `scene.Scene`.
            subtask: the sub-task's name.
        """
        self._scene = scene
        self._subtask = subtask
        self._grip = scene.robot.gripper
        self._plan = self._attempts()

    def action(self) -> NDArray[np.float32]:
        """The next control step's action."""
        return next(self._plan)

    def _attempts(self) -> Actions:
        """Repeats attempts; the worker stops when the sub-task is solved or over."""
        while True:
            yield from self._solve()
            yield from self._stay(8)

    def _solve(self) -> Actions:
        words = self._subtask.split("_")
        if self._subtask in _JOINTS:
            return _JOINTS[self._subtask](self)
        if words[0] == "push" and words[1] != "into":
            return self._push(f"block_{words[1]}", 1.0 if words[3] == "right" else -1.0)
        if words[0] == "rotate":
            return self._rotate(f"block_{words[1]}", 1.0 if words[3] == "left" else -1.0)
        if words[0] == "lift" and words[3] == "slider":
            return self._lift_from_shelf(f"block_{words[1]}")
        if words[0] == "lift":
            return self._lift(f"block_{words[1]}")
        if words[0] == "unstack":
            return self._lift(max(self._scene.blocks, key=self._height))
        if self._subtask == "push_into_drawer":
            return self._bring_into_drawer()
        place = {"place_in_slider": self._shelf, "place_in_drawer": self._drawer}
        return self._put(place.get(self._subtask, self._top)())

    def _led(self) -> Actions:
        yield from self._over(-0.12, -0.12)
        yield from self._to((-0.12, -0.12, 0.455))
        yield from self._to((-0.12, -0.12, 0.60))

    def _open_drawer(self) -> Actions:
        y = -0.225 - self._scene.table.state()[1]
        yield from self._over(0.18, y)
        yield from self._to((0.18, y, 0.35))
        yield from self._to((0.18, y - 0.26, 0.35))

    def _close_drawer(self) -> Actions:
        y = -0.32 - self._scene.table.state()[1]
        yield from self._over(0.18, y)
        yield from self._to((0.18, y, 0.35))
        yield from self._to((0.18, y + 0.30, 0.35))

    def _slide(self, way: float) -> Actions:
        """Pushes the sliding door's handle along x."""
        x = 0.04 - self._scene.table.state()[0] - way * 0.07
        yield from self._over(x, -0.06)
        yield from self._to((x, -0.06, 0.51))
        yield from self._to((x, 0.0, 0.51))
        yield from self._to((x + way * 0.30, 0.0, 0.51))
        yield from self._to((x + way * 0.26, -0.08, 0.51))

    def _slide_left(self) -> Actions:
        return self._slide(-1.0)

    def _slide_right(self) -> Actions:
        return self._slide(1.0)

    def _bulb_on(self) -> Actions:
        """Lifts the switch's handle from below with a tilted tool."""
        yield from self._over(0.33, -0.08)
        yield from self._to((0.33, -0.08, 0.50), TILTED)
        yield from self._to((0.33, -0.03, 0.455), TILTED)
        yield from self._to((0.33, 0.035, 0.455), TILTED)
        yield from self._to((0.33, 0.095, 0.60), TILTED)

    def _bulb_off(self) -> Actions:
        """Pushes the switch's handle down from behind."""
        yield from self._over(0.24, -0.06)
        yield from self._to((0.30, 0.0, 0.68), TILTED)
        yield from self._to((0.30, 0.08, 0.64), TILTED)
        yield from self._to((0.30, 0.02, 0.50), TILTED)

    def _push(self, block: str, way: float) -> Actions:
        x, y = self._scene.block_pose(block)[:2]
        yield from self._over(x - way * 0.09, y)
        yield from self._to((x - way * 0.09, y, GRASP))
        yield from self._to((x + way * 0.14, y, GRASP), speed=0.3)

    def _lift(self, block: str) -> Actions:
        yield from self._grasp(block)
        x, y = self._scene.robot.target_position[:2]
        yield from self._to((x, y, SAFE), self._turn(), speed=0.4)

    def _lift_from_shelf(self, block: str) -> Actions:
        """Reaches into the cabinet with a tilted tool."""
        x, y, z = self._scene.block_pose(block)[:3]
        door = self._scene.table.state()[0]
        if x < -0.1 and door > 0.03:
            yield from self._slide(1.0)
        if x > -0.1 and door < 0.25:
            yield from self._slide(-1.0)
        y += -0.01 if block == "block_pink" else 0.005
        turn = (math.pi - LEAN, 0.0, math.pi / 2)
        yield from self._over(x, -0.12, turn, OPEN)
        yield from self._to((x, y - 0.12, z + 0.10), turn)
        yield from self._to((x, y, z - 0.003), turn)
        self._grip = CLOSED
        yield from self._stay(12)
        yield from self._to((x, y - 0.03, z + 0.06), turn, speed=0.3)
        yield from self._to((x, y - 0.15, z + 0.12), turn, speed=0.4)

    def _bring_into_drawer(self) -> Actions:
        """Carries a block from the table into the open drawer; the rule allows it."""
        block = min(self._scene.blocks, key=lambda name: self._scene.block_pose(name)[1])
        yield from self._lift(block)
        yield from self._put(self._drawer())

    def _put(self, place: tuple[float, float, float, float]) -> Actions:
        """Carries the held block to a position and releases it.

        Args:
            place: position of the block (x, y, z) in meters, and tilt of the tool in radians.
        """
        robot = self._scene.robot
        here = np.array(robot.tool()[0])
        held = min(self._scene.blocks, key=lambda name: self._distance(name, here))
        x, y, z, lean = place
        turn = (math.pi - lean, 0.0, _nearest(robot.target_angles[2], math.pi / 2, math.pi))
        start = robot.target_position
        yield from self._to((start[0], min(start[1], -0.10), SAFE), self._turn(), speed=0.4)
        yield from self._to((x, min(y, -0.10), SAFE), turn, speed=0.4)
        offset = self._scene.block_pose(held)[:3] - np.array(robot.tool()[0])
        goal = np.array([x, y, z]) - offset
        if y > 0:
            yield from self._to((goal[0], goal[1] - 0.12, goal[2] + 0.12), turn, speed=0.4)
        yield from self._to(tuple(np.add(goal, (0, 0, 0.03))), turn, speed=0.4)
        yield from self._to(tuple(goal), turn, speed=0.2, settle=8)
        self._grip = OPEN
        yield from self._stay(8)
        back = [0.0, -0.12, 0.10] if y > 0 else [0.0, 0.0, 0.10]
        yield from self._to(tuple(np.add(goal, back)), turn, speed=0.3)

    def _shelf(self) -> tuple[float, float, float, float]:
        """The most spacious position in the open side of the cabinet; the door may be half open."""
        door = self._scene.table.state()[0]
        places = (-0.20, -0.24, -0.28, -0.32) if door < 0.14 else (0.07, 0.03, -0.01, 0.11, 0.13)
        z = 0.47

        def room(x: float) -> float:
            blocks = [self._scene.block_pose(name) for name in self._scene.blocks]
            away = [abs(pose[0] - x) for pose in blocks if pose[1] > 0.0 and pose[2] < 0.475]
            from_door = abs(x - (0.04 - door)) - _DOOR
            return round(min([0.09, from_door, *away]), 3)

        return max(places, key=room), 0.07, z, LEAN

    def _drawer(self) -> tuple[float, float, float, float]:
        """Over the middle of the open drawer."""
        return 0.18, -0.12 - self._scene.table.state()[1], 0.40, 0.0

    def _top(self) -> tuple[float, float, float, float]:
        """On top of another block, preferably one on the table."""
        here = np.array(self._scene.robot.tool()[0])
        held = min(self._scene.blocks, key=lambda name: self._distance(name, here))
        others = [name for name in self._scene.blocks if name != held]
        lying = [name for name in others if self._scene.block_pose(name)[1] < -0.02]
        x, y, z = self._scene.block_pose((lying or others)[0])[:3]
        return x, y, z + 0.044, 0.0

    def _height(self, block: str) -> float:
        return float(self._scene.block_pose(block)[2])

    def _distance(self, block: str, place: Array) -> float:
        return float(np.linalg.norm(self._scene.block_pose(block)[:3] - place))

    def _rotate(self, block: str, way: float) -> Actions:
        yield from self._grasp(block, turning=way)
        x, y, z = self._scene.robot.target_position
        roll, pitch, yaw = self._turn()
        yield from self._to((x, y, z), (roll, pitch, yaw + way * 1.3), speed=0.4)
        self._grip = OPEN
        yield from self._stay(6)

    def _grasp(self, block: str, turning: float = 0.0) -> Actions:
        """Closes the gripper around a block from above.

        Args:
            block: its name.
            turning: +1 or -1 if a rotation to that side follows; leaves room for it.
        """
        x, y, _, _, _, yaw = self._scene.block_pose(block)
        middle = math.pi / 2 - turning * 0.65
        turn = (math.pi, 0.0, _nearest(yaw, middle, math.pi))
        yield from self._over(x, y, turn, OPEN)
        # A block that was pushed keeps sliding: its pose is read again above it.
        x, y, z, _, _, yaw = self._scene.block_pose(block)
        turn = (math.pi, 0.0, _nearest(yaw, middle, math.pi))
        yield from self._to((x, y, SAFE), turn, settle=0)
        yield from self._to((x, y, z - 0.003), turn)
        self._grip = CLOSED
        yield from self._stay(12)

    def _over(
        self, x: float, y: float, turn: tuple[float, ...] = DOWN, grip: float = CLOSED
    ) -> Actions:
        """Moves up, out of the cabinet first, then to a position at the safe height.

        A held block is released where it is, and the fingers close only above it.
        """
        if self._grip == CLOSED and self._scene.robot.state()[6] > _EMPTY:
            self._grip = OPEN
            yield from self._stay(4)
        here = self._scene.robot.target_position.copy()
        if here[1] > -0.08:
            here[1] = -0.10
            yield from self._to(tuple(here), self._turn(), settle=0)
        if grip == OPEN:
            self._grip = OPEN
        yield from self._to((here[0], here[1], max(SAFE, here[2])), turn, settle=0)
        self._grip = grip
        yield from self._to((x, y, SAFE), turn)

    def _to(
        self,
        place: tuple[float, ...],
        turn: tuple[float, ...] = DOWN,
        speed: float = 0.5,
        settle: int = 4,
    ) -> Actions:
        """Moves the robot's target to a pose, then waits for the arm."""
        for _ in range(200):
            away = np.array(place) - self._scene.robot.target_position
            around = _wrapped(np.array(turn) - self._scene.robot.target_angles)
            if np.linalg.norm(away) < 1e-4 and np.abs(around).max() < 1e-3:
                break
            away /= 0.02
            length = float(np.linalg.norm(away))
            yield self._act(away * min(1.0, speed / max(length, 1e-9)), around / 0.05)
        yield from self._stay(settle)

    def _stay(self, steps: int) -> Actions:
        for _ in range(steps):
            yield self._act(np.zeros(3), np.zeros(3))

    def _act(self, move: Array, turn: Array) -> NDArray[np.float32]:
        action = np.concatenate([move, np.clip(turn, -1.0, 1.0), [self._grip]])
        return action.astype(np.float32)

    def _turn(self) -> tuple[float, ...]:
        return tuple(self._scene.robot.target_angles)


_JOINTS = {
    "turn_on_led": Expert._led,
    "turn_off_led": Expert._led,
    "open_drawer": Expert._open_drawer,
    "close_drawer": Expert._close_drawer,
    "move_slider_left": Expert._slide_left,
    "move_slider_right": Expert._slide_right,
    "turn_on_lightbulb": Expert._bulb_on,
    "turn_off_lightbulb": Expert._bulb_off,
}


def _wrapped(angle: Array) -> Array:
    """Angles in radians, wrapped to [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _nearest(angle: float, middle: float, period: float) -> float:
    """The angle nearest to `middle` that differs from `angle` by whole periods."""
    return angle + round((middle - angle) / period) * period
