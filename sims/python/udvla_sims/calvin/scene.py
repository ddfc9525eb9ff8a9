"""CALVIN's environment D in pybullet: build, reset, control step, state.

Bodies are loaded and driven in the order of the benchmark's own environment, because body
numbers and the solver's order change the last bits. Only CALVIN's data folder is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bullet import Bullet
from .robot import Robot
from .rules import Block, Snapshot, holds
from .table import SCALE, Table

Array = NDArray[np.float64]

RESET_MODES = ("isolated", "reference")
BLOCKS = ("block_red", "block_blue", "block_pink")
_FILES = ("block_red_middle.urdf", "block_blue_small.urdf", "block_pink_big.urdf")
_SURFACES = {
    "table": ((0.0, -0.15, 0.46), (0.35, -0.03, 0.46)),
    "slider_left": ((-0.32, 0.05, 0.46), (-0.16, 0.12, 0.46)),
    "slider_right": ((-0.05, 0.05, 0.46), (0.13, 0.12, 0.46)),
}
"""Where the benchmark's own environment first puts blocks: lowest and highest position."""


class SceneView:
    """State of environment D, shared by both adapters (`slim` and `upstream`)."""

    bullet: Bullet
    robot: Any
    """A `robot.Robot` or its counterpart."""
    table: Any
    """A `table.Table` or its counterpart."""
    blocks: dict[str, int]
    """Body numbers of the blocks."""

    def block_pose(self, name: str) -> Array:
        """A block's position in meters and Euler angles in radians, [6]."""
        position, turn = self.bullet.getBasePositionAndOrientation(self.blocks[name])
        return np.array([*position, *self.bullet.getEulerFromQuaternion(turn)])

    def robot_state(self) -> Array:
        """`Robot.state`, [15]."""
        return self.robot.state()

    def scene_state(self) -> Array:
        """`Table.state`, then position and Euler angles of each block, [24]."""
        poses = [self.block_pose(name) for name in BLOCKS]
        return np.concatenate([self.table.state(), *poses])

    def whole_state(self) -> Array:
        """State of everything that moves, with velocities, in a fixed order."""
        bullet = self.bullet
        values = [*self.robot_state(), *self.scene_state()]
        for body in (self.robot.body, self.table.body):
            for state in bullet.getJointStates(body, list(range(bullet.getNumJoints(body)))):
                values += state[:2]
        for body in self.blocks.values():
            for part in bullet.getBasePositionAndOrientation(body) + bullet.getBaseVelocity(body):
                values += part
        return np.array([*values, *self.robot.target_position, *self.robot.target_angles])


class Scene(SceneView):
    """Robot, blocks, table, floor, time and rules."""

    def __init__(self, bullet: Bullet, data: Path, control: dict, rules: dict[str, list]) -> None:
        """Builds everything; `reset` must precede the first step.

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
        """Sets a state and runs one simulation step.

        Args:
            robot: [15] as of `robot_state`.
            scene: [24] as of `scene_state`.
            mode: `isolated` rebuilds everything first, because the physics engine remembers
                earlier episodes; `reference` does not, like the benchmark's own environment.
        """
        if mode == "isolated" and self._used:
            self._build()
        self._used = True
        bullet = self.bullet
        self.table.reset(list(scene[:6]))
        for body, pose in zip(self.blocks.values(), scene[6:].reshape(3, 6), strict=True):
            orientation = bullet.getQuaternionFromEuler(pose[3:])
            bullet.resetBasePositionAndOrientation(body, pose[:3], orientation)
        self.robot.reset(robot[7:14], robot[6] / 2)
        bullet.stepSimulation()

    def step(self, action: NDArray[np.float32]) -> None:
        """Executes one control step."""
        self.robot.act(action)
        for _ in range(self._repeat):
            self.bullet.stepSimulation()
        self.table.react()

    def begin(self, subtask: str) -> None:
        """Starts a sub-task from the current state."""
        self._rule, self._start = self._rules[subtask], self._snapshot()

    def solved(self) -> bool:
        """Whether the current sub-task's rule is satisfied."""
        return holds(self._rule, self._start, self._snapshot())

    def close(self) -> None:
        """Ends the simulation."""
        self.bullet.close()

    def _snapshot(self) -> Snapshot:
        bullet, table = self.bullet, self.table
        blocks = {}
        for name, body in self.blocks.items():
            position, orientation = bullet.getBasePositionAndOrientation(body)
            rotation = np.array(bullet.getMatrixFromQuaternion(orientation)).reshape(3, 3)
            velocity = np.array(bullet.getBaseVelocity(body)).reshape(6)
            blocks[name] = Block(np.array(position), rotation, velocity, bullet.touching(body))
        slide, drawer = table.state()[:2]
        return Snapshot(
            blocks=blocks,
            doors={"base__slide": slide, "base__drawer": drawer},
            lights=dict(table.lights),
            robot_touching={body for body, _ in bullet.touching(self.robot.body)},
            ids={**self.blocks, "robot": self.robot.body, "table": table.body},
            links=table.links,
        )

    def _build(self) -> None:
        """Loads everything into an empty world.

        Nothing less clears the physics engine's memory: the order in which it drops pairs of
        separated bodies, and the last separating axis of each pair, survive a reset of all poses.
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
            position, angles = _first_pose(random)
            orientation = bullet.getQuaternionFromEuler(angles)
            path = (data / "blocks" / file).as_posix()
            self.blocks[name] = bullet.loadURDF(path, position, orientation, globalScaling=SCALE)
        self.table = Table(bullet, data)
        bullet.loadURDF((data / "plane" / "plane.urdf").as_posix())
        self._used = False


def _first_pose(random: np.random.Generator) -> tuple[Array, Array]:
    """Position in meters and Euler angles in radians at which a block is loaded.

    Every reset moves the block, but the engine's lists keep the order of the pairs of bodies that
    were close at loading, which changes the last bits of an episode. So the blocks are loaded
    where the benchmark's own environment, whose seed is 0, loads them.
    """
    low, high = _SURFACES[random.choice(list(_SURFACES))]
    position = random.uniform(np.array(low), np.array(high))
    return position, random.uniform([0, 0, -np.pi], [0, 0, np.pi])
