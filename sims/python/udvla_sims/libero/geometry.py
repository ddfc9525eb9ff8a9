"""Geometry for the scripted LIBERO expert: boxes of collision geoms in the world frame.

Everything is derived from the compiled model, so meshes, boxes and cylinders are treated
alike. Nothing here writes to the simulator.
"""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_FAR = 10.0
"""Half width in meters used for infinite planes."""


class Scene:
    """Collision geoms of one compiled model in their current poses."""

    def __init__(self, env: object) -> None:
        """Collects the collision geoms.

        Args:
            env: the robosuite-level LIBERO environment.
        """
        self.model = env.sim.model._model
        self.data = env.sim.data._data
        self._body_of = dict(env.obj_body_id)
        model = self.model
        solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        self._geoms = np.flatnonzero(solid)
        self._roots = model.body_rootid[model.geom_bodyid[self._geoms]]
        outlines = [_outline(model, geom) for geom in self._geoms]
        self._outlines = np.stack(outlines)  # [n, 16, 3], in the frame of the geom
        self._centres = (self._outlines.min(1) + self._outlines.max(1)) / 2
        self._halves = (self._outlines.max(1) - self._outlines.min(1)) / 2
        robot = env.robots[0].robot_model.root_body
        self._robot_root = model.body_rootid[model.body(robot).id]

    def origin(self, name: str) -> Array:
        """Position of the root body of an object or fixture, which the goals test."""
        return self.data.xpos[self._body_of[name]].copy()

    def geoms_of(self, name: str) -> Indices:
        """The geoms of an object or fixture."""
        return np.flatnonzero(self._roots == self.model.body_rootid[self._body_of[name]])

    def around(self, names: Iterable[str]) -> Indices:
        """All geoms that belong neither to the robot nor to the named objects."""
        roots = [self.model.body_rootid[self._body_of[name]] for name in names]
        return np.flatnonzero(~np.isin(self._roots, [self._robot_root, *roots]))

    def outlines(self, geoms: Indices) -> Array:
        """Outline points of the geoms in the world, [n, 16, 3]."""
        rotations = self._rotations(geoms)
        places = self.data.geom_xpos[self._geoms[geoms]]
        return np.einsum("nij,nkj->nki", rotations, self._outlines[geoms]) + places[:, None]

    def bounds(self, geoms: Indices) -> tuple[Array, Array]:
        """Lowest and highest corner of the world box round the geoms."""
        points = self.outlines(geoms).reshape(-1, 3)
        return points.min(0), points.max(0)

    def count_inside(self, points: Array, geoms: Indices, margin: float) -> Array:
        """How many of the points lie in a geom's box grown by a margin.

        Args:
            points: [c, p, 3], c sets of p points in the world.
            geoms: the geoms to test against.
            margin: meters.

        Returns:
            One count per set, [c].
        """
        flat = points.reshape(-1, 3)
        hit = np.zeros(len(flat), dtype=bool)
        low, high = flat.min(0) - margin, flat.max(0) + margin
        rotations = self._rotations(geoms)
        places = self.data.geom_xpos[self._geoms[geoms]]
        places = places + np.einsum("nij,nj->ni", rotations, self._centres[geoms])
        halves = self._halves[geoms]
        reach = np.einsum("nij,nj->ni", np.abs(rotations), halves)
        near = np.all((places + reach > low) & (places - reach < high), axis=1)
        for place, rotation, half in zip(places[near], rotations[near], halves[near], strict=True):
            hit |= np.all(np.abs((flat - place) @ rotation) < half + margin, axis=1)
        return hit.reshape(points.shape[:2]).sum(1)

    def top_under(self, low: Array, high: Array, geoms: Indices) -> float:
        """Highest top of the geoms whose world box meets a rectangle seen from above.

        Args:
            low: lower corner (x, y).
            high: upper corner (x, y).
            geoms: the geoms that count.

        Returns:
            The height in meters, or minus infinity over nothing.
        """
        points = self.outlines(geoms)
        lowest, highest = points.min(1), points.max(1)
        meets = np.all((highest[:, :2] > low) & (lowest[:, :2] < high), axis=1)
        return float(highest[meets, 2].max()) if meets.any() else -np.inf

    def tops_along(self, start: Array, end: Array, half: Array, geoms: Indices) -> Array:
        """Highest tops under a rectangle that slides along a straight way, seen from above.

        Args:
            start: where the way starts.
            end: where the way ends.
            half: half of the rectangle's sides (x, y) in meters.
            geoms: the geoms that count.

        Returns:
            One row (distance from the start, height) per sample, at least two, [n, 2].
        """
        points = self.outlines(geoms)
        lowest, highest = points.min(1), points.max(1)
        way = (end - start)[:2]
        length = float(np.linalg.norm(way))
        shares = np.linspace(0.0, 1.0, max(2, int(length / 0.02) + 1))
        middles = (start[:2] + shares[:, None] * way)[:, None]
        meets = (highest[:, :2] > middles - half) & (lowest[:, :2] < middles + half)
        tops = np.where(meets.all(2), highest[:, 2], -np.inf).max(1)
        return np.column_stack([shares * length, tops])

    def _rotations(self, geoms: Indices) -> Array:
        return self.data.geom_xmat[self._geoms[geoms]].reshape(-1, 3, 3)


def section(points: Array, height: float) -> Array:
    """Where a horizontal plane cuts the hulls of geoms, seen from above.

    Args:
        points: outline points of the geoms, [n, k, 3].
        height: height of the plane.

    Returns:
        Points of all chords in the plane, among them each cut's corners, [m, 2].
    """
    first, second = np.triu_indices(points.shape[1], 1)
    starts, ends = points[:, first].reshape(-1, 3), points[:, second].reshape(-1, 3)
    cut = (starts[:, 2] - height) * (ends[:, 2] - height) < 0.0
    starts, ends = starts[cut], ends[cut]
    shares = (height - starts[:, 2:]) / (ends[:, 2:] - starts[:, 2:])
    return (starts + shares * (ends - starts))[:, :2]


def _outline(model: mujoco.MjModel, geom: int) -> Array:
    """Sixteen points on the hull of a geom, in its frame; corners twice where it has eight."""
    size = model.geom_size[geom]
    kind = model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        turns = np.arange(8) * (np.pi / 4)
        ring = np.stack([np.cos(turns) * size[0], np.sin(turns) * size[0]], axis=1)
        lower = np.column_stack([ring, np.full(8, -size[1])])
        return np.concatenate([lower, lower * [1, 1, -1]])
    if kind == mujoco.mjtGeom.mjGEOM_PLANE:
        centre, half = np.zeros(3), np.array([_FAR, _FAR, 0.0])
    else:
        centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    return np.tile(centre + signs * half, (2, 1))
