"""The WidowX of SimplerEnv: its description, its gains, and its end-effector controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sapien.core as sapien
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

TOOL = "ee_gripper_link"
FINGERS = ("left_finger", "right_finger")
_STIFFNESS = (
    *(1169.7891719504198, 730.0, 808.4601346394447),
    *(1229.1299089624076, 1272.2760456418862, 1056.3326605132252),
)
_DAMPING = (
    *(330.0, 180.0, 152.12036565582588),
    *(309.6215302722146, 201.04998711007383, 269.51458932695414),
)
_FORCE = (200.0, 200.0, 100.0, 100.0, 100.0, 100.0)
"""Of the six arm joints, fitted by SimplerEnv to a real robot at 5 Hz."""
_FINGER_STIFFNESS, _FINGER_DAMPING, _FINGER_FORCE = 1000.0, 200.0, 60.0
_FINGER_RANGE = np.array([[0.015 - 0.001], [0.037 + 0.001]], dtype=np.float32)
"""Finger positions in meters that -1 and 1 command: a millimetre beyond both stops, so that the
fingers press."""
_FINGER_FRICTION, _PATCH = 2.0, 0.01
_ARM = 6
_AWAY = (-10.0, 0.0, 0.0)
"""Position of the robot's base while the objects settle."""
# Bars and fingers do not collide with each other, only with everything else.
_COLLISION_GROUPS = {"gripper_bar_link": 0b11, "left_finger_link": 0b01, "right_finger_link": 0b10}


class Robot:
    """The arm in a scene, driven by increments of its tool's target pose.

    Source: ManiSkill2_real2sim, agents/configs/widowx/defaults.py (gains), agents/robots/
    widowx.py (collision groups), agents/controllers/pd_ee_pose.py (the rule `ee_align2` with
    `use_target`).
    """

    def __init__(self, scene: sapien.Scene, urdf: Path) -> None:
        """Adds the robot to a scene that is being built.

        Args:
            scene: a scene without objects yet.
            urdf: the robot's description.
        """
        self.body = _load(scene, urdf)
        links = {link.name: link for link in self.body.get_links()}
        self.links = links
        self.tool = links[TOOL]
        self._joints = self.body.get_active_joints()
        self._kinematics = self.body.create_pinocchio_model()
        self._tool_index = self.body.get_links().index(self.tool)
        self._arm = np.arange(self.body.dof) < _ARM
        self._set_drives()
        for name, group in _COLLISION_GROUPS.items():
            for shape in links[name].get_collision_shapes():
                shape.set_collision_groups(1, 1, group, 0)

    def move_away(self) -> None:
        """Moves the robot away from all objects."""
        self.body.set_pose(sapien.Pose(list(_AWAY)))

    def place(self, joints: list[float], base: list[float]) -> None:
        """Sets the robot's start pose, at rest.

        Args:
            joints: six angles in radians and two finger positions in meters.
            base: position of its base in the world in meters.
        """
        self.body.set_qpos(np.array(joints))
        for rest in (self.body.set_qvel, self.body.set_qacc, self.body.set_qf):
            rest(np.zeros(self.body.dof))
        self._set_drives()
        # The target is computed before the base moves: its last bits depend on the base's position.
        self.target_pose = self.body.pose.inv().transform(self.tool.pose)
        self.body.set_pose(sapien.Pose(base, [0, 0, 0, 1]))

    def command(self, action: NDArray[np.float32]) -> None:
        """Sets the joints' targets for a control step.

        Args:
            action: [7] f32: position change in meters, rotation vector in radians, gripper in
                [-1, 1].
        """
        w = [3, 0, 1, 2]
        turn = Rotation.from_rotvec(action[3:6]).as_quat()[w]
        change = sapien.Pose(action[:3], turn)
        here = sapien.Pose(p=self._forward().p)
        self.target_pose = (here * change * here.inv()) * self.target_pose
        for joint, angle in zip(self._joints[:_ARM], self._inverse(), strict=True):
            joint.set_drive_target(angle)
        low, high = _FINGER_RANGE
        (finger,) = 0.5 * (high + low) + 0.5 * (high - low) * np.clip(action[6:], -1, 1)
        for joint in self._joints[_ARM:]:
            joint.set_drive_target(finger)

    def balance(self) -> None:
        """Compensates the robot's weight for the next simulation step."""
        self.body.set_qf(self.body.compute_passive_force(external=False))

    def match_photographs(self) -> None:
        """Sets the robot's surface material as in the benchmark."""
        for link in self.body.get_links():
            for body in link.get_visual_bodies():
                for shape in body.get_render_shapes():
                    shape.material.specular, shape.material.roughness = 0.9, 0.3

    def _forward(self) -> sapien.Pose:
        """The tool's pose in the base's frame by forward kinematics."""
        self._kinematics.compute_forward_kinematics(self.body.get_qpos())
        return self._kinematics.get_link_pose(self._tool_index)

    def _inverse(self) -> NDArray[Any]:
        """The arm joints that reach the target, or the current ones if none do."""
        now = self.body.get_qpos()
        found, success, _ = self._kinematics.compute_inverse_kinematics(
            self._tool_index,
            self.target_pose,
            initial_qpos=now,
            active_qmask=self._arm,
            max_iterations=100,
        )
        return (found if success else now)[:_ARM]

    def _set_drives(self) -> None:
        arm = list(zip(_STIFFNESS, _DAMPING, _FORCE, strict=True))
        fingers = [(_FINGER_STIFFNESS, _FINGER_DAMPING, _FINGER_FORCE)] * len(FINGERS)
        for joint, (stiffness, damping, force) in zip(self._joints, arm + fingers, strict=True):
            joint.set_drive_property(stiffness, damping, force_limit=force, mode="force")
            joint.set_friction(0.0)


def _load(scene: sapien.Scene, urdf: Path) -> sapien.Articulation:
    friction = scene.create_physical_material(_FINGER_FRICTION, _FINGER_FRICTION, 0.0)
    skin = {"material": friction, "patch_radius": _PATCH, "min_patch_radius": _PATCH}
    loader = scene.create_urdf_loader()
    loader.fix_root_link = True
    loader.load_multiple_collisions_from_file = True
    robot = loader.load(str(urdf), {"link": {f"{name}_link": dict(skin) for name in FINGERS}})
    robot.set_name("wx250s")
    return robot
