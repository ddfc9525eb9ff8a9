"""CALVIN's robot: a Panda arm with longer fingers, driven by increments of a target pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bullet import Bullet

Array = NDArray[np.float64]

BASE = (-0.34, -0.46, 0.24)
"""Position of the arm's base in meters."""
HOME = (-1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866)
"""Joint angles in radians before any episode; also the rest pose of inverse kinematics."""
_LOWER = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
_UPPER = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
_ARM = range(7)
_FINGERS = (9, 11)
_TOOL = 15
_OPEN_FINGER = 0.04
_FORCE = 200.0
_ARM_SPEED = 2.0
_FINGER_SPEED = 1.0


class Robot:
    """The arm and its gripper in a simulation.

    Source: calvin_env, robot/robot.py and conf/robot/panda_longer_finger.yaml.
    """

    def __init__(self, bullet: Bullet, data: Path, control: dict) -> None:
        """Loads the arm, its visual pedestal and the coupling of the fingers.

        Args:
            bullet: the simulation.
            data: CALVIN's data folder.
            control: `position_step` (meters) and `rotation_step` (radians) per unit of action.
        """
        self._bullet = bullet
        # In single precision: actions are scaled before they are added to doubles.
        self._scale = np.array(
            [control["position_step"]] * 3 + [control["rotation_step"]] * 3, dtype=np.float32
        )
        self.body = bullet.loadURDF(
            (data / "franka_panda" / "panda_longer_finger.urdf").as_posix(),
            basePosition=BASE,
            baseOrientation=bullet.getQuaternionFromEuler([0, 0, 0]),
            useFixedBase=True,
        )
        pedestal = bullet.createVisualShape(
            shapeType=bullet.GEOM_CYLINDER,
            rgbaColor=[1, 1, 1, 1],
            radius=0.13,
            length=BASE[2],
            visualFramePosition=[BASE[0] - 0.05, BASE[1], BASE[2] / 2],
        )
        bullet.createMultiBody(baseVisualShapeIndex=pedestal)
        coupling = bullet.createConstraint(
            self.body,
            _FINGERS[0],
            self.body,
            _FINGERS[1],
            jointType=bullet.JOINT_GEAR,
            jointAxis=[1, 0, 0],
            parentFramePosition=[0, 0, 0],
            childFramePosition=[0, 0, 0],
        )
        bullet.changeConstraint(coupling, gearRatio=-1, erp=0.1, maxForce=50)
        degrees = bullet.computeDofCount(self.body)
        if degrees != len(HOME) + len(_FINGERS):
            raise RuntimeError(f"CALVIN's robot has {degrees} moving joints, not 9")
        rest = [*HOME, _OPEN_FINGER, _OPEN_FINGER]
        self._null_space = ([-7] * degrees, [7] * degrees, [7] * degrees, rest)
        self.camera_link = bullet.links(self.body)["gripper_cam"]
        self.gripper = 1.0
        self.reset(HOME, _OPEN_FINGER)

    def reset(self, joints: tuple[float, ...] | Array, finger: float) -> None:
        """Sets the joints and their motors; the target becomes the tool's pose.

        Args:
            joints: [7] angles in radians.
            finger: opening of each finger in meters.
        """
        bullet = self._bullet
        for joint, angle in zip(_ARM, joints, strict=True):
            bullet.resetJointState(self.body, joint, angle)
            bullet.hold(self.body, joint, angle, _FORCE, maxVelocity=_ARM_SPEED)
        for joint in _FINGERS:
            bullet.resetJointState(self.body, joint, finger)
            bullet.hold(self.body, joint, finger, _FORCE, maxVelocity=_FINGER_SPEED)
        position, angles = self.tool()
        self.target_position, self.target_angles = np.array(position), np.array(angles)

    def act(self, action: NDArray[np.float32]) -> None:
        """Moves the target by an action and sets the motors to follow it.

        Args:
            action: [7] f32: x, y, z, rotations about them, in units of the protocol's steps;
                gripper -1 (close) or 1 (open).
        """
        bullet = self._bullet
        step = action[:6] * self._scale
        self.target_position += step[:3]
        self.target_angles += step[3:]
        self.gripper = float(action[6])
        angles = bullet.calculateInverseKinematics(
            self.body,
            _TOOL,
            self.target_position,
            bullet.getQuaternionFromEuler(self.target_angles),
            *self._null_space,
        )
        for joint, angle in zip(_ARM, np.clip(angles[:7], _LOWER, _UPPER), strict=True):
            bullet.hold(self.body, joint, angle, _FORCE, maxVelocity=_ARM_SPEED)
        opens = self.gripper == 1
        finger, force = (_OPEN_FINGER, _FORCE / 100) if opens else (0.0, _FORCE)
        for joint in _FINGERS:
            bullet.hold(self.body, joint, finger, force, maxVelocity=_FINGER_SPEED)

    def tool(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The tool's position in meters and its Euler angles in radians."""
        position, orientation = self._bullet.getLinkState(self.body, _TOOL)[:2]
        return position, self._bullet.getEulerFromQuaternion(orientation)

    def state(self) -> Array:
        """Tool position and Euler angles, gripper width, joints, last gripper command, [15]."""
        bullet, body = self._bullet, self.body
        position, angles = self.tool()
        width = sum(bullet.joint_position(body, joint) for joint in _FINGERS)
        joints = [bullet.joint_position(body, joint) for joint in _ARM]
        return np.array([*position, *angles, width, *joints, self.gripper])
