"""The arm of the scripted LIBERO expert: the grip's pose, and actions towards poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .geometry import Array, Scene

OPEN, CLOSED = -1.0, 1.0
"""Gripper commands."""
METRES_PER_UNIT = 0.05
"""Displacement of the controller's goal per unit of action."""
RADIANS_PER_UNIT = 0.5
"""Rotation of the controller's goal per unit of action."""
EAGERNESS = 2.0
"""Above 1 the goal is set beyond the target, since the controller lags behind its goal."""
TURN_EAGERNESS = np.array([0.7, 0.7, 1.5])
"""Below 1 for tilt, which at the limit of the arm's reach conflicts with translation."""
LOOKAHEAD = 0.05
"""Seconds of current motion counted as already done, to prevent overshoot."""

# The grip's axes when the hand points straight down and the fingers open along world y.
_DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


class Arm:
    """The robot's hand, and the action that brings it closer to a pose."""

    def __init__(self, env: object, scene: Scene) -> None:
        """Finds the hand.

        Args:
            env: the robosuite-level LIBERO environment.
            scene: its geometry.
        """
        robot = env.robots[0]
        self._data = scene.data
        self._site = robot.eef_site_id
        self._finger_speeds = list(robot._ref_gripper_joint_vel_indexes)
        self._finger_places = list(robot._ref_gripper_joint_pos_indexes)
        self._seconds = 1.0 / env.control_freq
        self.base = scene.data.body(robot.robot_model.root_body).xpos.copy()
        self.yaw = 0.0
        self.speed = np.zeros(3)
        self._before = self.grip()

    def grip(self) -> Array:
        """The grip point between the finger tips."""
        return self._data.site_xpos[self._site].copy()

    def finger_speed(self) -> float:
        """The faster finger's speed in m/s."""
        return float(np.abs(self._data.qvel[self._finger_speeds]).max())

    def opening(self) -> float:
        """The distance between the fingers in meters."""
        return float(np.abs(self._data.qpos[self._finger_places]).sum())

    def turn(self) -> Array:
        """Rotation vector from the grip's rotation to the wanted one, in the world frame."""
        error = self._wanted() @ self._data.site_xmat[self._site].reshape(3, 3).T
        axis = np.array(
            [error[2, 1] - error[1, 2], error[0, 2] - error[2, 0], error[1, 0] - error[0, 1]]
        )
        length = float(np.linalg.norm(axis))
        angle = np.arctan2(length, np.trace(error) - 1.0)
        return axis * (angle / length) if length > 1e-9 else axis

    def toward(self, target: Array, gripper: float) -> NDArray[np.float32]:
        """The action that moves the grip point at full speed towards a target; once per step.

        Args:
            target: the place in the world.
            gripper: `OPEN` or `CLOSED`.
        """
        grip = self.grip()
        self.speed = (grip - self._before) / self._seconds
        self._before = grip
        move = (target - grip - LOOKAHEAD * self.speed) * (EAGERNESS / METRES_PER_UNIT)
        # Horizontal motion keeps its direction; vertical motion is independent of it.
        move[:2] /= max(1.0, float(np.abs(move[:2]).max()))
        move[2] = np.clip(move[2], -1.0, 1.0)
        turn = np.clip(self.turn() * (TURN_EAGERNESS / RADIANS_PER_UNIT), -1.0, 1.0)
        return np.concatenate([move, turn, [gripper]]).astype(np.float32)

    def _wanted(self) -> Array:
        """The wanted rotation of the grip: straight down, turned by the yaw."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ _DOWN
