"""Plain solids written as MuJoCo XML in the form that LIBERO's object classes read.

Lengths are meters, half sizes as in MuJoCo. Everything is text made from numbers, so the same
table gives the same files on every machine.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

Spot = tuple[float, float]
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""

UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
ALONG_Y: Quaternion = (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0)
"""Rotates a shape from the z axis to the object's y axis."""

# Contact and density of all of LIBERO's objects.
_SOLID = (
    'density="100" friction="0.95 0.3 0.1" solimp="0.998 0.998 0.001" solref="0.001 1" group="0"'
)
_VISIBLE = 'contype="0" conaffinity="0" mass="0" group="1"'


class Part(NamedTuple):
    """A primitive solid of an object."""

    kind: str
    """`box` or `cylinder`."""
    size: tuple[float, ...]
    """Half sizes; of a cylinder radius and half height."""
    at: Vector
    colour: str
    """Red, green, blue in [0, 1]; empty for an invisible part."""
    turn: Quaternion = UPRIGHT
    solid: bool = True
    """Whether it collides and has mass."""


def box(
    x: float,
    y: float,
    low: float,
    high: float,
    colour: str,
    solid: bool = True,
    at: Spot = (0.0, 0.0),
) -> Part:
    """A box from height `low` to `high` with half widths `x` and `y` around the point `at`."""
    size = (x, y, (high - low) / 2)
    return Part("box", size, (*at, (low + high) / 2), colour, solid=solid)


def can(
    radius: float,
    low: float,
    high: float,
    colour: str,
    solid: bool = True,
    at: Spot = (0.0, 0.0),
) -> Part:
    """An upright cylinder from height `low` to `high` around the point `at`."""
    size = (radius, (high - low) / 2)
    return Part("cylinder", size, (*at, (low + high) / 2), colour, solid=solid)


def slanted_box(size: Vector, at: Vector, axis: str, angle: float, colour: str) -> Part:
    """A solid box turned by `angle` radians around the `x`, `y` or `z` axis."""
    return Part("box", size, at, colour, turned(axis, angle))


def funnel(
    bottom: float, top: float, low: float, high: float, thickness: float, colour: str, sides: int
) -> list[Part]:
    """The wall of a bowl: solid plates around the z axis, from one radius to a wider one.

    Args:
        bottom: outer radius at height `low`.
        top: outer radius at height `high`.
        low: height of the outer face's lower edge.
        high: height of its upper edge.
        thickness: of the wall.
        colour: of the wall.
        sides: number of plates.
    """
    lean = math.atan2(top - bottom, high - low)
    length = math.hypot(top - bottom, high - low) / 2
    middle = (bottom + top) / 2 - thickness / 2 * math.cos(lean)
    height = (low + high) / 2 + thickness / 2 * math.sin(lean)
    width = max(bottom, top) * math.tan(math.pi / sides)
    parts = []
    for side in range(sides):
        angle = 2 * math.pi * side / sides
        turn = multiply(turned("z", angle), turned("y", lean))
        at = (middle * math.cos(angle), middle * math.sin(angle), height)
        parts.append(Part("box", (thickness / 2, width, length), at, colour, turn))
    return parts


def turned(axis: str, angle: float) -> Quaternion:
    """A rotation by `angle` radians around the `x`, `y` or `z` axis."""
    half, index = angle / 2, "xyz".index(axis) + 1
    turn = [math.cos(half), 0.0, 0.0, 0.0]
    turn[index] = math.sin(half)
    return (turn[0], turn[1], turn[2], turn[3])


def multiply(left: Quaternion, right: Quaternion) -> Quaternion:
    """The rotation `right` followed by `left`."""
    a, b, c, d = left
    e, f, g, h = right
    return (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )


def geoms(parts: Iterable[Part], axis: Quaternion = UPRIGHT) -> str:
    """The parts as MuJoCo geoms, all turned by `axis` around the origin."""
    lines = []
    for part in parts:
        x, y, z = part.at
        at = (x, z, -y) if axis == ALONG_Y else part.at
        place = f'pos="{_numbers(at)}" quat="{_numbers(multiply(axis, part.turn))}"'
        shape = f'type="{part.kind}" size="{_numbers(part.size)}" {place}'
        if part.solid:
            lines.append(f'<geom {shape} {_SOLID} rgba="0.8 0.8 0.8 0"/>')
        if part.colour:
            lines.append(f'<geom {shape} {_VISIBLE} rgba="{part.colour} 1"/>')
    return "\n".join(lines)


def region(name: str, size: Vector, at: Vector, turn: Quaternion = UPRIGHT) -> str:
    """An invisible box-shaped site, which LIBERO's goals refer to by name."""
    return (
        f'<site name="{name}" type="box" size="{_numbers(size)}" pos="{_numbers(at)}" '
        f'quat="{_numbers(turn)}" rgba="0 0 0 0"/>'
    )


def object_xml(name: str, content: str, bottom: float, top: float, radius: float) -> bytes:
    """An object file: its content, and the three sites that robosuite's samplers read.

    Args:
        name: the model's name.
        content: geoms, sites and bodies of the object.
        bottom: height of the lowest point assumed by the sampler, below zero.
        top: height of the highest one.
        radius: radius kept free around the object.
    """
    sites = "\n".join(
        f'<site name="{site}" pos="{_numbers(at)}" size="0.005" rgba="0 0 0 0"/>'
        for site, at in (
            ("bottom_site", (0.0, 0.0, bottom)),
            ("top_site", (0.0, 0.0, top)),
            ("horizontal_radius_site", (radius, radius, 0.0)),
        )
    )
    return (
        f'<mujoco model="{name}">\n<asset/>\n<worldbody>\n<body>\n<body name="object">\n'
        f"{content}\n</body>\n{sites}\n</body>\n</worldbody>\n</mujoco>\n"
    ).encode()


def png(size: int, pixel: Callable[[int, int], Vector]) -> bytes:
    """A square RGB image as PNG, the same bytes on every machine.

    Args:
        size: width and height.
        pixel: (row, column) to red, green and blue from 0 to 255, as whole numbers.
    """
    rows = bytearray()
    for row in range(size):
        rows.append(0)  # No filter.
        for column in range(size):
            rows.extend(int(value) for value in pixel(row, column))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    # Stored, not compressed: the libraries that compress do not all give the same bytes.
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 0)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _numbers(values: Iterable[float]) -> str:
    # Rounded, so that the last bit of a sine does not change the file; plus zero has no sign.
    return " ".join(f"{round(value, 6) + 0.0:.6g}" for value in values)
