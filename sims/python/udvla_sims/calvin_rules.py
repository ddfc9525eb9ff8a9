"""CALVIN's success rules: what of the scene must have changed since a sub-task began.

A rule is data: its name and its arguments, as CALVIN's own task file writes them. Two snapshots
are compared, one from the beginning of the sub-task, one from now.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .calvin_scene import Scene

Contacts = set[tuple[int, int]]
Rule = list


class Block(NamedTuple):
    """A block at one moment."""

    position: NDArray[np.float64]
    turn: NDArray[np.float64]
    """Its rotation as a 3 x 3 matrix."""
    speeds: NDArray[np.float64]
    """Linear velocity in m/s, angular in rad/s."""
    touching: Contacts
    """(body, link) of everything that it touches."""

    def bodies(self) -> set[int]:
        """The bodies that it touches."""
        return {body for body, _ in self.touching}


class Snapshot(NamedTuple):
    """What the rules look at."""

    blocks: dict[str, Block]
    doors: dict[str, float]
    lights: dict[str, int]
    robot_touching: set[int]
    ids: dict[str, int]
    """Body numbers of the blocks, of `robot` and of `table`."""
    links: dict[str, int]
    """The table's links."""


def snapshot(scene: Scene) -> Snapshot:
    """What the rules look at, as it is now."""
    bullet, table = scene.bullet, scene.table
    blocks = {}
    for name, body in scene.blocks.items():
        position, turn = bullet.getBasePositionAndOrientation(body)
        matrix = np.array(bullet.getMatrixFromQuaternion(turn)).reshape(3, 3)
        speeds = np.array(bullet.getBaseVelocity(body)).reshape(6)
        blocks[name] = Block(np.array(position), matrix, speeds, bullet.touching(body))
    slide, drawer = table.state()[:2]
    return Snapshot(
        blocks=blocks,
        doors={"base__slide": slide, "base__drawer": drawer},
        lights=dict(table.lights),
        robot_touching={body for body, _ in bullet.touching(scene.robot.body)},
        ids={**scene.blocks, "robot": scene.robot.body, "table": table.body},
        links=table.links,
    )


def holds(rule: Rule, start: Snapshot, now: Snapshot) -> bool:
    """Whether a rule is met.

    Args:
        rule: its name, then its arguments.
        start: the scene when the sub-task began.
        now: the scene after a control step.

    Raises:
        KeyError: there is no rule of that name.
    """
    return bool(RULES[rule[0]](start, now, *rule[1:]))


def _rotated(start: Snapshot, now: Snapshot, name: str, degrees: float) -> bool:
    """Turned about z by more than `degrees`, hardly tilted or moved, and not held in the air."""
    before, after = start.blocks[name], now.blocks[name]
    if np.linalg.norm(after.position - before.position) > 0.1:
        return False
    if not after.bodies() - {now.ids["robot"]}:
        return False
    x, y, z = _angles(after.turn @ before.turn.T)
    far = degrees < z < 180 if degrees > 0 else -180 < z < degrees
    return far and abs(x) < 30 and abs(y) < 30


def _pushed(start: Snapshot, now: Snapshot, name: str, x: float, y: float) -> bool:
    """Moved along x (or y), on what it stood on."""
    before, after = start.blocks[name], now.blocks[name]
    robot = now.ids["robot"]
    stood = {contact for contact in before.touching if contact[0] != robot}
    stands = {contact for contact in after.touching if contact[0] != robot}
    if not stood or not stood <= stands:
        return False
    axis, least = (0, x) if x else (1, y)
    way = (after.position - before.position)[axis]
    return way > least if least > 0 else way < least


def _lifted(start: Snapshot, now: Snapshot, name: str, height: float, body: str, link: str) -> bool:
    """Risen by more than `height` from that link, and touching nothing but the robot."""
    before, after = start.blocks[name], now.blocks[name]
    from_there = (start.ids[body], start.links[link]) in before.touching
    risen = (after.position - before.position)[2] > height
    return risen and from_there and after.bodies() == {now.ids["robot"]}


def _placed(start: Snapshot, now: Snapshot, body: str, link: str) -> bool:
    """The block that only the robot held, and nothing else was held, is on that link, let go."""
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
    """Any of the blocks that touched one link alone touches the other link.

    CALVIN's code means to ask as well that the robot does not touch the block at the end, but
    looks for its number among pairs of numbers: the question is never answered with yes.
    """
    source, target = (start.ids[body], start.links[link]), (now.ids[to_body], now.links[to_link])

    def went(before: Block, after: Block) -> bool:
        return before.touching == {source} and target in after.touching

    return any(went(start.blocks[name], now.blocks[name]) for name in names)


def _joint_moved(start: Snapshot, now: Snapshot, name: str, way: float) -> bool:
    """The joint went further than `way`, in its direction."""
    moved = now.doors[name] - start.doors[name]
    return moved > way if way > 0 else moved < way


def _light_switched(start: Snapshot, now: Snapshot, name: str, before: int, after: int) -> bool:
    """The light was in one state and is in another."""
    return (start.lights[name], now.lights[name]) == (before, after)


def _stacked(start: Snapshot, now: Snapshot) -> bool:
    """A block that touched no block rests on blocks alone, almost still."""
    blocks = {start.ids[name] for name in start.blocks}

    def on_top(name: str) -> bool:
        before, after = start.blocks[name].bodies(), now.blocks[name]
        rests = bool(after.bodies()) and after.bodies() <= blocks
        return not before & blocks and rests and _calm(after)

    return any(on_top(name) for name in start.blocks)


def _unstacked(start: Snapshot, now: Snapshot) -> bool:
    """A block that rested on blocks alone, almost still, touches none any more."""
    blocks = {start.ids[name] for name in start.blocks}

    def taken_off(name: str) -> bool:
        before, after = start.blocks[name], now.blocks[name].bodies()
        rested = bool(before.bodies()) and before.bodies() <= blocks
        return rested and _calm(before) and not after & blocks

    return any(taken_off(name) for name in start.blocks)


def _calm(block: Block) -> bool:
    return bool((np.abs(block.speeds) < 1).all())


def _angles(turn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Rotations in degrees about the fixed axes x, then y, then z that make up a rotation."""
    x = math.atan2(turn[2, 1], turn[2, 2])
    y = math.asin(max(-1.0, min(1.0, -turn[2, 0])))
    z = math.atan2(turn[1, 0], turn[0, 0])
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
