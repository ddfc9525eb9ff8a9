"""SimplerEnv's rules: whether the source is on the target, is grasped, was moved.

Source: ManiSkill2_real2sim, envs/custom_scenes/put_on_in_scene.py (`evaluate`) and
agents/robots/widowx.py (`check_grasp`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import sapien.core as sapien
from numpy.typing import NDArray
from transforms3d.quaternions import quat2mat

_MARGIN = 0.003
"""Metres by which the centres may be further apart than half the target's diagonal."""
_MOVED = 0.03
"""Metres along the table from which an object counts as moved."""
_TOUCH = 1e-6
"""Impulse in newton seconds from which a contact counts."""
_GRASP_ANGLE = 60.0
"""Degrees between a finger's closing direction and its impulse, at most."""

_LONG_GRASP = 5
"""Control steps in a row from which a grasp counts as a firm one."""


class Judgement(NamedTuple):
    """Outcome of the rules after a control step."""

    success: bool
    """The source is on the target."""
    grasped: bool
    """Both fingers press on the source."""
    moved_source: bool
    """The source was moved, and further than anything else."""
    moved_other: bool
    """Something else was moved, and further than the source."""


class Tally:
    """Statistics of an episode's judgements.

    Source: ManiSkill2_real2sim, envs/custom_scenes/put_on_in_scene.py (`episode_stats`).
    """

    def __init__(self) -> None:
        """Starts an episode."""
        self.steps = 0
        self.beyond_bounds = 0
        self._first_success: int | None = None
        self._grasped_for = self._longest_grasp = 0
        self._last: Judgement | None = None

    def add(self, judged: Judgement) -> None:
        """Adds a control step."""
        self.steps, self._last = self.steps + 1, judged
        if judged.success and self._first_success is None:
            self._first_success = self.steps
        self._grasped_for = self._grasped_for + 1 if judged.grasped else 0
        self._longest_grasp = max(self._longest_grasp, self._grasped_for)

    @property
    def success_any(self) -> bool:
        """Whether the rule held after some step."""
        return self._first_success is not None

    def notes(self) -> dict[str, bool | int]:
        """The record's notes; steps count from 1, without a success its step is left out."""
        first, last = self._first_success, self._last
        notes: dict[str, bool | int] = {
            "success_any": self.success_any,
            "success_last": last is not None and last.success,
        }
        if first is not None:
            notes["first_success_step"] = first
        return notes | {
            "source_grasped": self._longest_grasp > 0,
            "consecutive_grasp": self._longest_grasp >= _LONG_GRASP,
            "moved_correct_object": last is not None and last.moved_source,
            "moved_wrong_object": last is not None and last.moved_other,
            "actions_beyond_bounds": self.beyond_bounds,
        }


class Judge:
    """The rules for one episode."""

    def __init__(self, world: Any, task: dict, sizes: list[list[float]]) -> None:  # noqa: ANN401
        """Stores the settled poses of the objects.

        Args:
            world: a `scene.World`.
            task: the protocol's task.
            sizes: extents in meters of source and target in their own axes.
        """
        self._world = world
        self._height_gap = task["height_gap"]
        self._alone = task["rests_on_target_alone"]
        self._source, self._target = world.source, world.target
        self._starts = [thing.pose.p for thing in (self._source, self._target)]
        # The benchmark turns the box's diagonal once, after settling.
        self._source_half, self._target_half = (
            quat2mat(thing.pose.q) @ np.array(size) / 2
            for thing, size in zip((self._source, self._target), sizes, strict=True)
        )
        links = {link.name for link in world.robot.body.get_links()}
        self._allowed = links | {self._target.name}

    def now(self) -> Judgement:
        """The judgement of the current state."""
        contacts = self._world.scene.get_contacts()
        source, target = (_centre(thing) for thing in (self._source, self._target))
        moved = np.linalg.norm(self._starts[0][:2] - source[:2])
        other = np.linalg.norm(self._starts[1][:2] - self._target.pose.p[:2])
        return Judgement(
            success=self._on_target(source - target)
            and not (self._alone and self._touches_another(contacts)),
            grasped=self._grasped(contacts),
            moved_source=bool(moved > _MOVED and other < moved),
            moved_other=bool(other > _MOVED and other > moved),
        )

    def _on_target(self, offset: NDArray[np.float32]) -> bool:
        reach = np.linalg.norm(self._target_half[:2]) + _MARGIN
        gap = offset[2] - self._target_half[2] - self._source_half[2]
        near = np.linalg.norm(offset[:2]) <= reach
        return bool(near and offset[2] > 0 and gap <= self._height_gap)

    def _touches_another(self, contacts: list[sapien.Contact]) -> bool:
        """Whether the source presses on anything but the target and the robot."""
        name = self._source.name
        for contact in contacts:
            pair = [contact.actor0.name, contact.actor1.name]
            if name not in pair:
                continue
            other = pair[1] if pair[0] == name else pair[0]
            if other not in self._allowed and np.linalg.norm(_impulse(contact)) > _TOUCH:
                return True
        return False

    def _grasped(self, contacts: list[sapien.Contact]) -> bool:
        links = self._world.robot.links
        fingers = ((links["left_finger_link"], 1.0), (links["right_finger_link"], -1.0))
        return all(self._presses(finger, sign, contacts) for finger, sign in fingers)

    def _presses(self, finger: sapien.Link, sign: float, contacts: list[sapien.Contact]) -> bool:
        """Whether a finger presses on the source along its closing direction."""
        total = np.zeros(3)
        for contact in contacts:
            if contact.actor0 == finger and contact.actor1 == self._source:
                total += _impulse(contact)
            elif contact.actor0 == self._source and contact.actor1 == finger:
                total -= _impulse(contact)
        axis = sign * finger.pose.to_transformation_matrix()[:3, 1]
        return np.linalg.norm(total) >= _TOUCH and _degrees_between(axis, total) <= _GRASP_ANGLE


def _centre(thing: sapien.Actor) -> NDArray[np.float32]:
    """The centre of mass in the world."""
    return thing.pose.transform(thing.cmass_local_pose).p


def _impulse(contact: sapien.Contact) -> NDArray[np.float32]:
    """The impulse on the first body."""
    return np.sum([point.impulse for point in contact.points], axis=0)


def _degrees_between(first: NDArray[Any], second: NDArray[Any]) -> float:
    lengths = [np.linalg.norm(first), np.linalg.norm(second)]
    if min(lengths) < 1e-6:
        return 90.0
    return math.degrees(np.arccos(np.clip(np.dot(first / lengths[0], second / lengths[1]), -1, 1)))
