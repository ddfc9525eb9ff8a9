"""Grasps of the scripted LIBERO expert: from above, across an object or at its rim."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .geometry import Array, Scene, section

WIDEST = 0.070
"""Largest width in meters that fits between the open fingers."""
PALM = 0.0245
"""Depth of the grip point below an object's top, in meters; at 26 mm the palm touches it."""
RIM_DEPTH = 0.012
"""Depth of the grip point below a rim, in meters."""
RIM_WALL = 0.004
"""Half of a typical rim's thickness, in meters."""
FLOOR = 0.009
"""Least height of the grip point above the object's support, in meters."""
PAD = 0.005
"""Half of the height, in meters, over which the fingers touch the object's sides."""
COMFORT = 0.70
"""Distance from the robot's base in meters beyond which the arm gets slow."""


class Grasp(NamedTuple):
    """A pose of the gripper that holds an object."""

    place: Array
    """Grip point in the world."""
    yaw: float
    """Rotation in radians about the vertical; at 0 the finger axis is along world y."""
    cost: float
    """Lower is better; about ten per metre of width."""


def _hand_points() -> Array:
    """Sample points of the open hand, (along the finger axis, across it, up) from the grip."""
    palm = np.meshgrid(np.linspace(-0.105, 0.105, 9), [-0.035, 0.0, 0.035], [0.026, 0.07, 0.12])
    fingers = np.meshgrid([-0.055, -0.04, 0.04, 0.055], [-0.011, 0.011], [-0.006, 0.012])
    return np.concatenate([np.reshape(part, (3, -1)).T for part in (palm, fingers)])


_HAND = _hand_points()


def grasps(scene: Scene, name: str, base: Array, shift: Array) -> list[Grasp]:
    """Grasps of an object, the best first.

    Args:
        scene: the geometry.
        name: the object.
        base: position of the robot's base.
        shift: displacement to the target position, where the hand needs clearance too.

    Returns:
        Grasps by rising cost; never empty.
    """
    points = scene.outlines(scene.geoms_of(name))
    options = [option for option in _across(points) if option.cost <= 10 * WIDEST]
    if not options:
        options = _by_rim(points) or _across(points)
    hands = np.stack([_posed_hand(option) for option in options])
    obstacles = scene.around([name])
    hits = 2 * scene.count_inside(hands, obstacles, 0.006)
    hits += scene.count_inside(hands + shift, obstacles, 0.0)
    ranked = []
    for option, count in zip(options, hits, strict=True):
        reaches = [np.linalg.norm((option.place + way - base)[:2]) for way in (0 * shift, shift)]
        strain = sum(max(0.0, float(reach) - COMFORT) for reach in reaches)
        cost = option.cost + 0.1 * abs(option.yaw) + 0.05 * float(count) + 2.0 * strain
        ranked.append(option._replace(cost=cost))
    return sorted(ranked, key=lambda option: option.cost)


def _posed_hand(grasp: Grasp) -> Array:
    cosine, sine = np.cos(grasp.yaw), np.sin(grasp.yaw)
    axes = np.array([[-sine, cosine, 0.0], [cosine, sine, 0.0], [0.0, 0.0, 1.0]])
    return grasp.place + _HAND @ axes


def _across(points: Array) -> list[Grasp]:
    """Grasps from above with the object between the fingers; wide or slanting ones cost most.

    Args:
        points: outline points of the object's geoms, [n, k, 3].
    """
    bottom, top = points[..., 2].min(), points[..., 2].max()
    height = max(top - PALM, min((bottom + top) / 2, bottom + 0.05), bottom + FLOOR)
    upper, lower = section(points, height + PAD), section(points, height - PAD)
    if not len(upper) or not len(lower):
        upper = lower = points.reshape(-1, 3)[:, :2]
    held = np.concatenate([upper, lower])
    options = []
    for yaw in np.linspace(-np.pi / 2, np.pi / 2, 37):
        along = np.array([-np.sin(yaw), np.cos(yaw)])
        side = np.array([along[1], -along[0]])
        reach, breadth = held @ along, held @ side
        middle = along * (reach.min() + reach.max()) / 2
        middle = middle + side * (breadth.min() + breadth.max()) / 2
        slant = abs(np.ptp(upper @ along) - np.ptp(lower @ along))
        width = float(np.ptp(reach) + 0.5 * slant)
        options.append(Grasp(np.append(middle, height), float(yaw), 10 * width))
    return options


def _by_rim(points: Array) -> list[Grasp]:
    """Grasps of a hollow object's wall; its narrow sides cost least, as handles stick out."""
    top = points[..., 2].max()
    rim = section(points, top - 0.004)
    held = section(points, top - RIM_DEPTH)
    if not len(rim) or not len(held):
        return []
    centre = (rim.min(0) + rim.max(0)) / 2
    options = []
    for turn in np.linspace(-np.pi, np.pi, 36, endpoint=False):
        outward = np.array([-np.sin(turn), np.cos(turn)])
        radius = float(((held - centre) @ outward).max())
        middle = centre + outward * (radius - RIM_WALL)
        # The finger axis has no direction: opposite rims share a yaw within a quarter turn.
        yaw = (turn + np.pi / 2) % np.pi - np.pi / 2
        options.append(Grasp(np.append(middle, top - RIM_DEPTH), float(yaw), 10 * radius))
    return options
