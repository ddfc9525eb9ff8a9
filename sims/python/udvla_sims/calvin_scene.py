"""CALVIN's environment D in pybullet: build, reset, control step, state.

Bodies are loaded and driven in the order of the benchmark's own environment, because body
numbers and the solver's order move the last bits. Nothing is read but CALVIN's data folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calvin_bullet import Bullet
from .calvin_robot import Robot
from .calvin_rules import holds, snapshot
from .calvin_table import SCALE, Table

Array = NDArray[np.float64]

RESET_MODES = ("isolated", "reference")
BLOCKS = ("block_red", "block_blue", "block_pink")
_FILES = ("block_red_middle.urdf", "block_blue_small.urdf", "block_pink_big.urdf")
_SURFACES = {
    "table": ((0.0, -0.15, 0.46), (0.35, -0.03, 0.46)),
    "slider_left": ((-0.32, 0.05, 0.46), (-0.16, 0.12, 0.46)),
    "slider_right": ((-0.05, 0.05, 0.46), (0.13, 0.12, 0.46)),
}
"""Where the benchmark's own environment puts blocks at first: lowest and highest place."""


class SceneView:
    """What a simulation of environment D shows, whoever built it."""

    bullet: Bullet
    robot: Any
    """As `calvin_robot.Robot`."""
    table: Any
    """As `calvin_table.Table`."""
    blocks: dict[str, int]
    """The blocks' bodies by name."""

    def block_pose(self, name: str) -> Array:
        """A block's position in metres and Euler angles in radians."""
        position, turn = self.bullet.getBasePositionAndOrientation(self.blocks[name])
        return np.array([*position, *self.bullet.getEulerFromQuaternion(turn)])

    def robot_state(self) -> Array:
        """The 15 numbers of `Robot.state`."""
        return self.robot.state()

    def scene_state(self) -> Array:
        """The table's six numbers, then position and Euler angles of each block."""
        poses = [self.block_pose(name) for name in BLOCKS]
        return np.concatenate([self.table.state(), *poses])

    def whole_state(self) -> Array:
        """Everything that moves, with velocities, in a fixed order."""
        bullet = self.bullet
        values = [*self.robot_state(), *self.scene_state()]
        for body in (self.robot.body, self.table.body):
            for state in bullet.getJointStates(body, list(range(bullet.getNumJoints(body)))):
                values += state[:2]
        for body in self.blocks.values():
            for part in bullet.getBasePositionAndOrientation(body) + bullet.getBaseVelocity(body):
                values += part
        return np.array([*values, *self.robot.target_position, *self.robot.target_turn])


class Scene(SceneView):
    """Robot, blocks, table and floor, the clock, and the rules."""

    def __init__(self, bullet: Bullet, data: Path, control: dict, rules: dict[str, list]) -> None:
        """Builds everything; `reset` comes before the first step.

        Args:
            bullet: the simulation.
            data: CALVIN's data folder.
            control: the protocol's `control`.
            rules: the success rule of every sub-task.
        """
        self.bullet = bullet
        self._rules = rules
        self._repeat = int(control["simulation_hz"]) // int(control["hz"])
        self._data, self._control = data, control
        self._build()

    def reset(self, robot: Array, scene: Array, mode: str) -> None:
        """Brings a state and lets one simulation step pass.

        Args:
            robot: 15 numbers as of `robot_state`.
            scene: 24 numbers as of `scene_state`.
            mode: `isolated` builds everything anew first, because the physics engine remembers
                earlier episodes; `reference` does not, as the benchmark's own environment.
        """
        if mode == "isolated" and self._used:
            self._build()
        self._used = True
        bullet = self.bullet
        self.table.reset(list(scene[:6]))
        for body, pose in zip(self.blocks.values(), scene[6:].reshape(3, 6), strict=True):
            turn = bullet.getQuaternionFromEuler(pose[3:])
            bullet.resetBasePositionAndOrientation(body, pose[:3], turn)
        self.robot.reset(robot[7:14], robot[6] / 2)
        bullet.stepSimulation()

    def step(self, action: NDArray[np.float32]) -> None:
        """Plays one control step."""
        self.robot.act(action)
        for _ in range(self._repeat):
            self.bullet.stepSimulation()
        self.table.react()

    def begin(self, subtask: str) -> None:
        """Remembers the scene as a sub-task finds it."""
        self._rule, self._start = self._rules[subtask], snapshot(self)

    def solved(self) -> bool:
        """Whether the rule of the sub-task that was begun is met now."""
        return holds(self._rule, self._start, snapshot(self))

    def close(self) -> None:
        """Ends the simulation."""
        self.bullet.close()

    def _build(self) -> None:
        """Loads everything into an empty world.

        Nothing less makes the physics engine forget: the order in which it drops pairs of bodies
        that came apart, and the last separating axis of each pair, outlive a reset of all poses.
        """
        bullet, control, data = self.bullet, self._control, self._data
        bullet.resetSimulation()
        bullet.setPhysicsEngineParameter(deterministicOverlappingPairs=1)
        bullet.setTimeStep(1.0 / control["simulation_hz"])
        bullet.resetSimulation()
        bullet.setGravity(0, 0, -9.8)
        self.robot = Robot(bullet, data, control)
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0)))
        self.blocks = {}
        for name, file in zip(BLOCKS, _FILES, strict=True):
            place, turn = _first_pose(random)
            turn = bullet.getQuaternionFromEuler(turn)
            path = (data / "blocks" / file).as_posix()
            self.blocks[name] = bullet.loadURDF(path, place, turn, globalScaling=SCALE)
        self.table = Table(bullet, data)
        bullet.load(data / "plane" / "plane.urdf")
        self._used = False


def _first_pose(random: np.random.Generator) -> tuple[Array, Array]:
    """Where a block is when it is loaded: position, and Euler angles in radians.

    Every episode moves it, but the engine remembers: pairs of bodies that met before the first
    step have other neighbours in its lists, and the last bits of an episode follow. So the
    blocks are loaded where the benchmark's own environment, whose seed is 0, loads them.
    """
    low, high = _SURFACES[random.choice(list(_SURFACES))]
    place = random.uniform(np.array(low), np.array(high))
    return place, random.uniform([0, 0, -np.pi], [0, 0, np.pi])
