"""A scripted expert for LIBERO's goals of the kinds "in" and "on".

It reads the simulator's state (which no policy sees) and acts only through the actions that
it returns. It verifies an installation end to end without a model: action scaling, gripper
sign, success flag and step limits. It does not operate drawers, doors and knobs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .arm import CLOSED, OPEN, Arm
from .geometry import Array, Scene
from .grasps import PALM, Grasp, grasps

CLEARANCE = 0.02
"""Clearance in meters under a carried object and under the open hand."""
CLIMB = 0.5
"""Slope at which an obstacle ahead is approached: height over distance."""
HAND = np.array([0.11, 0.04])
"""Half of the hand's extent in meters along the finger axis and across it."""
FINGERS = np.array([0.06, 0.02])
"""Half of the open fingers' extent in meters along the finger axis and across it."""
LOST = 0.05
"""Displacement in the hand, in meters, beyond which a carried object is lost."""

Actions = Iterator[NDArray[np.float32]]
Literal = list[str]


class Expert:
    """Solves the goal of one episode, one control step at a time."""

    def __init__(self, env: object, clearance: float = CLEARANCE) -> None:
        """Plans in a scene that was reset and has settled.

        Args:
            env: the robosuite-level LIBERO environment.
            clearance: in meters, under a carried object and under the open hand.
        """
        self._env = env
        self._clearance = clearance
        self._scene = Scene(env)
        self._arm = Arm(env, self._scene)
        self._rest = self._arm.grip()
        self._plan = self._solve()

    def action(self) -> NDArray[np.float32]:
        """The next control step's action: seven numbers in [-1, 1]."""
        action = next(self._plan, None)
        return self._arm.toward(self._rest, OPEN) if action is None else action

    def _solve(self) -> Actions:
        """Works on unsatisfied parts of the goal until none is left."""
        attempt = 0
        while pending := [literal for literal in self._literals() if not self._holds(literal)]:
            for literal in pending:
                yield from self._put(literal[1], literal[2], attempt)
            attempt += 1

    def _literals(self) -> list[Literal]:
        """The goal's parts that this expert can work on: [kind, object, target]."""
        goal = self._env.parsed_problem["goal_state"]
        return [literal for literal in goal if literal[0] in ("in", "on")]

    def _holds(self, literal: Literal) -> bool:
        return bool(self._env._eval_predicate(literal))

    def _put(self, name: str, target: str, attempt: int) -> Actions:
        """Moves one object to its target; a later attempt uses another grasp."""
        scene = self._scene
        goal, origin = self._goal(target), scene.origin(name)
        goal[2] = self._release_height(name, target, goal)
        shift = goal - origin
        # The hand's clearance at the target is checked where it will open, which may be higher.
        least = self._brim(name, goal) + PALM - scene.bounds(scene.geoms_of(name))[1][2]
        room = np.append(shift[:2], max(shift[2], least))
        options = grasps(scene, name, self._arm.base, room)
        grasp = options[3 * attempt % len(options)]
        yield from self._reach(name, grasp)
        yield from self._close(grasp.place)
        place = grasp.place + shift
        goal[2] += max(0.0, self._brim(name, place) - place[2])
        yield from self._carry(name, goal)
        yield from self._let_go()

    def _goal(self, target: str) -> Array:
        """Target position of the object's origin; its height is set later."""
        if target in self._env.object_sites_dict:
            return self._scene.data.site(target).xpos.copy()
        return self._scene.origin(target)

    def _reach(self, name: str, grasp: Grasp) -> Actions:
        """Moves over the object and, once the hand is aligned, down to the grasp."""
        arm, place = self._arm, grasp.place
        arm.yaw = grasp.yaw
        start = arm.grip()
        way = self._scene.tops_along(start, place, self._room(FINGERS), self._scene.around([name]))
        way[:, 1] += self._clearance
        way = way[way[:, 1] > way[-1, 1] + 0.01]
        for _ in range(90):
            away = place - arm.grip()
            aside = float(np.linalg.norm(away[:2]))
            turned = abs(float(arm.turn()[2]))
            if aside < 0.006 and turned < 0.06 and abs(away[2]) < 0.012:
                return
            funnel = 2.0 * max(0.0, aside - 0.006) + 0.2 * max(0.0, turned - 0.06)
            gone = float(np.linalg.norm((arm.grip() - start)[:2]))
            needed = _needed(way, gone)
            away[2] += max(min(0.12, funnel), needed - place[2])
            away[:2] = _held_back(away[:2], arm.grip()[2] - needed)
            yield arm.toward(arm.grip() + away, OPEN)

    def _close(self, place: Array) -> Actions:
        """Closes until the fingers stop moving."""
        for count in range(16):
            if count > 4 and self._arm.finger_speed() < 0.01:
                return
            yield self._arm.toward(place, CLOSED)

    def _carry(self, name: str, goal: Array) -> Actions:
        """Lifts the object, carries it over obstacles and lowers it to the goal.

        Ends early when the object is lost or cannot be lowered further.
        """
        scene, arm = self._scene, self._arm
        start, held = scene.origin(name), scene.origin(name) - arm.grip()
        way = self._way(name, start, goal)
        stalled = 0
        for count in range(200):
            origin, grip = scene.origin(name), arm.grip()
            away = goal - origin
            aside = float(np.linalg.norm(away[:2]))
            arrived = aside < 0.012 and abs(away[2]) < 0.006
            stalled = stalled + 1 if np.abs(arm.speed).max() < 0.01 else 0
            lost = np.linalg.norm(origin - grip - held) > LOST
            if arrived or lost or (count > 10 and stalled > 4):
                return
            needed = _needed(way, float(np.linalg.norm((origin - start)[:2])))
            if aside > 0.02:
                away[2] = max(goal[2], needed) - origin[2]
                away[:2] = _held_back(away[:2], origin[2] - needed)
            yield arm.toward(grip + away, CLOSED)

    def _way(self, name: str, start: Array, goal: Array) -> Array:
        """(distance, height required of the object's origin) along the path to the goal, [n, 2]."""
        scene, others = self._scene, self._scene.around([name])
        low, high = scene.bounds(scene.geoms_of(name))
        middle = (low + high) / 2 - start
        way = scene.tops_along(start + middle, goal + middle, (high - low)[:2] / 2 + 0.01, others)
        grip = self._arm.grip() - start
        hand = scene.tops_along(start + grip, goal + grip, self._room(HAND), others)
        hang, under_palm = start[2] - low[2], -grip[2] - PALM
        way[:, 1] = np.maximum(way[:, 1] + hang, hand[:, 1] + under_palm) + self._clearance
        return way

    def _let_go(self) -> Actions:
        """Opens the gripper and retreats upwards."""
        arm = self._arm
        place, opening = arm.grip(), arm.opening()
        for _ in range(8):
            if arm.opening() > opening + 0.02:
                break
            yield arm.toward(place, OPEN)
        place[2] += 0.08
        for _ in range(15):
            if arm.grip()[2] > place[2] - 0.03:
                break
            yield arm.toward(place, OPEN)
        self._rest = place

    def _release_height(self, name: str, target: str, goal: Array) -> float:
        """Height of the object's origin above the target at which to open the gripper."""
        scene = self._scene
        points = scene.outlines(scene.geoms_of(name)).reshape(-1, 3)
        origin, bottom = scene.origin(name), points[:, 2].min()
        hang = float(origin[2] - bottom)
        foot = points[points[:, 2] < bottom + 0.015, :2] - origin[:2] + goal[:2]
        surface = scene.top_under(foot.min(0), foot.max(0), scene.around([name]))
        height = surface + 0.004 + hang
        # An open frame, such as a rack, supports the object below its highest parts.
        sites = self._env.object_sites_dict
        frame = target in sites and sites[target].parent_name in self._env.fixtures_dict
        return min(height, float(goal[2]) + 0.04) if frame else height

    def _brim(self, name: str, place: Array) -> float:
        """Least height of the grip point at which the open hand clears what is below."""
        others, middle = self._scene.around([name]), place[:2]
        tops = []
        for extent, depth in ((FINGERS, -0.008), (HAND, PALM - 0.005)):
            room = self._room(extent)
            tops.append(self._scene.top_under(middle - room, middle + room, others) - depth)
        return max(tops)

    def _room(self, extent: Array) -> Array:
        """Half extents (x, y) of a part of the hand at the wanted yaw."""
        sine, cosine = abs(np.sin(self._arm.yaw)), abs(np.cos(self._arm.yaw))
        return np.array([[sine, cosine], [cosine, sine]]) @ extent


def _needed(way: Array, gone: float) -> float:
    """Height required at a point of a path to clear everything ahead.

    Args:
        way: (distance from the start, height required there) per sample, [n, 2].
        gone: distance of the point from the start.
    """
    ahead = way[way[:, 0] > gone - 0.01]
    if not len(ahead):
        return -np.inf
    return float((ahead[:, 1] - CLIMB * np.maximum(0.0, ahead[:, 0] - gone)).max())


def _held_back(away: Array, room: float) -> Array:
    """A horizontal move, shortened where the required height is not reached yet.

    Args:
        away: the move (x, y) in meters.
        room: height above the required one, in meters; full speed from -1 cm, none below -2 cm.
    """
    most = float(np.clip(0.12 + 6.0 * room, 0.0, 0.06))
    return away * min(1.0, most / max(float(np.linalg.norm(away)), 1e-9))
