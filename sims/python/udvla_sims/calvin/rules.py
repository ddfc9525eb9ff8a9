"""CALVIN's success rules: how the scene must have changed since a sub-task started.

A rule is data: its name and its arguments, as in CALVIN's own task file. It compares two
snapshots, one from the start of the sub-task, one of the current state.

Source: calvin_env, envs/tasks.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Contacts = set[tuple[int, int]]
Rule = list


class Block(NamedTuple):
    """State of a block."""

    position: NDArray[np.float64]
    """[3], meters."""
    rotation: NDArray[np.float64]
    """[3, 3]."""
    velocity: NDArray[np.float64]
    """[6], linear in m/s, then angular in rad/s."""
    touching: Contacts
    """(body, link) of everything that it touches."""

    def bodies(self) -> set[int]:
        """The bodies that it touches."""
        return {body for body, _ in self.touching}


class Snapshot(NamedTuple):
    """The part of a scene's state that the rules read."""

    blocks: dict[str, Block]
    doors: dict[str, float]
    """Joint positions in meters."""
    lights: dict[str, int]
    robot_touching: set[int]
    ids: dict[str, int]
    """Body numbers of the blocks, of `robot` and of `table`."""
    links: dict[str, int]
    """Link indices of the table."""


def holds(rule: Rule, start: Snapshot, now: Snapshot) -> bool:
    """Whether a rule is satisfied.

    Args:
        rule: its name, then its arguments.
        start: the scene when the sub-task started.
        now: the scene after a control step.

    Raises:
        KeyError: there is no rule of that name.
    """
    return bool(RULES[rule[0]](start, now, *rule[1:]))


def _rotated(start: Snapshot, now: Snapshot, name: str, degrees: float) -> bool:
    """Rotated about z by more than `degrees`, barely tilted or moved, and not held in the air."""
    before, after = start.blocks[name], now.blocks[name]
    if np.linalg.norm(after.position - before.position) > 0.1:
        return False
    if not after.bodies() - {now.ids["robot"]}:
        return False
    x, y, z = _euler_degrees(after.rotation @ before.rotation.T)
    enough = degrees < z < 180 if degrees > 0 else -180 < z < degrees
    return enough and abs(x) < 30 and abs(y) < 30


def _pushed(start: Snapshot, now: Snapshot, name: str, x: float, y: float) -> bool:
    """Moved along x (or y), still touching everything that it rested on."""
    before, after = start.blocks[name], now.blocks[name]
    robot = now.ids["robot"]
    support_before = {contact for contact in before.touching if contact[0] != robot}
    support_after = {contact for contact in after.touching if contact[0] != robot}
    if not support_before or not support_before <= support_after:
        return False
    axis, least = (0, x) if x else (1, y)
    moved = (after.position - before.position)[axis]
    return moved > least if least > 0 else moved < least


def _lifted(start: Snapshot, now: Snapshot, name: str, height: float, body: str, link: str) -> bool:
    """Raised by more than `height` from that link, and touching only the robot."""
    before, after = start.blocks[name], now.blocks[name]
    from_link = (start.ids[body], start.links[link]) in before.touching
    raised = (after.position - before.position)[2] > height
    return raised and from_link and after.bodies() == {now.ids["robot"]}


def _placed(start: Snapshot, now: Snapshot, body: str, link: str) -> bool:
    """The one block that the robot held, touching nothing else, is on that link, released."""
    if len(start.robot_touching) != 1:
        return False
    (held,) = start.robot_touching
    names = [name for name in start.blocks if start.ids[name] == held]
    if held in now.robot_touching or not names:
        return False
    before, after = start.blocks[names[0]], now.blocks[names[0]]
    lifted = before.bodies() == {start.ids["robot"]}
    return lifted and (now.ids[body], now.links[link]) in after.touching


def _pushed_into(
    start: Snapshot,
    now: Snapshot,
    names: list[str],
    body: str,
    link: str,
    to_body: str,
    to_link: str,
) -> bool:
    """Any of the blocks that touched only the first link touches the second link.

    CALVIN's code also means to require that the robot has released the block, but looks up the
    robot's number among (body, link) pairs, so the condition has no effect.
    """
    source, target = (start.ids[body], start.links[link]), (now.ids[to_body], now.links[to_link])

    def moved(before: Block, after: Block) -> bool:
        return before.touching == {source} and target in after.touching

    return any(moved(start.blocks[name], now.blocks[name]) for name in names)


def _joint_moved(start: Snapshot, now: Snapshot, name: str, distance: float) -> bool:
    """The joint moved further than `distance`, in its direction."""
    moved = now.doors[name] - start.doors[name]
    return moved > distance if distance > 0 else moved < distance


def _light_switched(start: Snapshot, now: Snapshot, name: str, before: int, after: int) -> bool:
    """The light changed from one state to the other."""
    return (start.lights[name], now.lights[name]) == (before, after)


def _stacked(start: Snapshot, now: Snapshot) -> bool:
    """A block that touched no block rests on blocks only, almost still."""
    blocks = {start.ids[name] for name in start.blocks}

    def on_top(name: str) -> bool:
        before, after = start.blocks[name].bodies(), now.blocks[name]
        rests = bool(after.bodies()) and after.bodies() <= blocks
        return not before & blocks and rests and _almost_still(after)

    return any(on_top(name) for name in start.blocks)


def _unstacked(start: Snapshot, now: Snapshot) -> bool:
    """A block that rested on blocks only, almost still, touches none anymore."""
    blocks = {start.ids[name] for name in start.blocks}

    def taken_off(name: str) -> bool:
        before, after = start.blocks[name], now.blocks[name].bodies()
        rested = bool(before.bodies()) and before.bodies() <= blocks
        return rested and _almost_still(before) and not after & blocks

    return any(taken_off(name) for name in start.blocks)


def _almost_still(block: Block) -> bool:
    return bool((np.abs(block.velocity) < 1).all())


def _euler_degrees(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Extrinsic xyz Euler angles of a rotation matrix in degrees."""
    x = math.atan2(rotation[2, 1], rotation[2, 2])
    y = math.asin(max(-1.0, min(1.0, -rotation[2, 0])))
    z = math.atan2(rotation[1, 0], rotation[0, 0])
    return math.degrees(x), math.degrees(y), math.degrees(z)


RULES: dict[str, Callable[..., bool]] = {
    "rotate_object": _rotated,
    "push_object": _pushed,
    "lift_object": _lifted,
    "place_object": _placed,
    "push_object_into": _pushed_into,
    "move_door_rel": _joint_moved,
    "toggle_light": _light_switched,
    "stack_objects": _stacked,
    "unstack_objects": _unstacked,
}
"""The rules by their names in CALVIN's task file."""
