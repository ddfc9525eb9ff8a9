"""The objects that only the suite long has: cups, pots, a book, a caddy and a microwave.

As in `stand_in_objects`, sizes are those of the collision shapes of LIBERO's own objects, in
meters; the shapes and colours are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi, radians

from .shapes import Part, box, can, funnel, geoms, object_xml, region, slanted_box, turned

_WHITE, _CREAM, _RED, _YELLOW = "0.95 0.94 0.91", "0.93 0.9 0.8", "0.78 0.13 0.1", "0.95 0.78 0.15"
_METAL, _IRON, _BLACK = "0.75 0.76 0.78", "0.15 0.15 0.16", "0.06 0.06 0.07"
_WOOD, _GLASS = "0.5 0.33 0.2", "0.22 0.24 0.26"


def objects() -> dict[str, bytes]:
    """The object files by their name below the assets folder."""
    bought = {
        "porcelain_mug": geoms(_porcelain_mug()),
        "red_coffee_mug": geoms(_red_mug()),
        "white_yellow_mug": geoms(_two_coloured_mug()),
        "moka_pot": geoms(_moka_pot()),
        "black_book": geoms(_book()),
        "desk_caddy": _caddy(),
    }
    files = {
        f"turbosquid_objects/{name}/{name}.xml": object_xml(name, content, -0.06, 0.04, 0.025)
        for name, content in bought.items()
    }
    pan = object_xml("chefmate_8_frypan", geoms(_frying_pan()), -0.06, 0.04, 0.025)
    files["stable_scanned_objects/chefmate_8_frypan/chefmate_8_frypan.xml"] = pan
    files["articulated_objects/microwave.xml"] = object_xml(
        "microwave", _microwave(), -0.06, 0.06, 0.015
    )
    return files


def _moved(parts: Iterable[Part], x: float, y: float) -> list[Part]:
    """The parts, shifted along the ground."""
    return [part._replace(at=(part.at[0] + x, part.at[1] + y, part.at[2])) for part in parts]


def _handle(x: float, low: float, high: float, inner: float, colour: str) -> list[Part]:
    """A mug's handle in the plane y = 0: a grip at `x`, and two bars from it to `inner`."""
    middle, half = (x + inner) / 2, abs(x - inner) / 2
    bars = [
        box(half, 0.008, z - 0.004, z + 0.004, colour, at=(middle, 0.0))
        for z in (low + 0.004, high - 0.004)
    ]
    return [box(0.004, 0.008, low, high, colour, at=(x, 0.0)), *bars]


def _porcelain_mug() -> list[Part]:
    cup = [
        can(0.021, 0.0024, 0.0128, _CREAM),
        *funnel(0.0235, 0.0425, 0.0028, 0.0435, 0.0028, _CREAM, sides=12),
        *funnel(0.0424, 0.0425, 0.0433, 0.1085, 0.0049, _CREAM, sides=12),
    ]
    return [*_moved(cup, 0.0168, 0.0), *_handle(-0.0595, 0.0363, 0.0758, -0.026, _CREAM)]


def _red_mug() -> list[Part]:
    cup = [
        can(0.0268, 0.0028, 0.0078, _RED),
        *funnel(0.0315, 0.0355, -0.0019, 0.1308, 0.007, _RED, sides=12),
    ]
    return [*_moved(cup, -0.0155, -0.003), *_handle(0.0547, 0.0194, 0.118, 0.0195, _RED)]


def _two_coloured_mug() -> list[Part]:
    cup = [
        can(0.0224, 0.0002, 0.0052, _YELLOW),
        *funnel(0.0295, 0.0395, 0.0013, 0.0195, 0.008, _YELLOW, sides=12),
        *funnel(0.0435, 0.049, 0.0157, 0.103, 0.0082, _WHITE, sides=16),
    ]
    return [*_moved(cup, -0.0185, -0.0005), *_handle(0.0641, 0.0267, 0.0852, 0.028, _WHITE)]


def _moka_pot() -> list[Part]:
    # Boxes carry it: contacts of a thin cylinder with a box do not keep it upright.
    body = [
        Part("box", (0.0335, 0.029, 0.0666), (0, 0.0015, 0.0004), ""),
        Part("box", (0.025, 0.0325, 0.0666), (0, 0.0018, 0.0004), ""),
        can(0.034, -0.066, -0.004, _METAL, solid=False),
        can(0.029, -0.004, 0.004, _IRON, solid=False),
        can(0.033, 0.004, 0.067, _METAL, solid=False),
        can(0.006, 0.067, 0.0857, _BLACK, at=(0.0, -0.0013)),
    ]
    spout = box(0.0058, 0.0098, 0.0181, 0.0671, _METAL, at=(0.0, -0.0417))
    handle = [
        box(0.0066, 0.0183, 0.052, 0.066, _BLACK, at=(0.0, 0.0525)),
        box(0.0066, 0.007, 0.0, 0.06, _BLACK, at=(0.0, 0.0735)),
    ]
    return [*body, spout, *handle]


def _frying_pan() -> list[Part]:
    # Boxes carry it, for a cylinder slides on a box.
    bottom = [
        Part("box", (0.0698, 0.0289, 0.0055), (0, 0, 0.0064), "", turned("z", radians(angle)))
        for angle in (0, 45, 90, 135)
    ]
    pan = [
        can(0.0755, 0.0008, 0.0119, _IRON, solid=False),
        *bottom,
        *funnel(0.079, 0.1005, 0.0044, 0.0402, 0.0071, _IRON, sides=16),
    ]
    handle = [
        slanted_box((0.017, 0.0105, 0.006), (0.1205, 0.0036, 0.0237), "y", -0.42, _BLACK),
        slanted_box((0.0665, 0.0127, 0.0062), (0.1926, 0.0, 0.0441), "y", -0.13, _BLACK),
    ]
    return [*_moved(pan, 0.0073, 0.0), *handle]


def _book() -> list[Part]:
    """A closed book that stands on its edge."""
    middle = (-0.0005, -0.0122)
    pages = box(0.0105, 0.0545, 0.0012, 0.1375, _CREAM, solid=False, at=middle)
    return [box(0.0143, 0.0552, 0.0022, 0.1366, _BLACK, at=middle), pages]


def _caddy() -> str:
    """A desk tidy with a tall compartment on one side and lower ones on the other."""
    upright = [
        box(0.0755, 0.2169, 0.0014, 0.0138, _WOOD),
        *(box(0.0706, 0.0062, 0.0026, 0.1674, _WOOD, at=(0.0, y)) for y in (-0.068, -0.2094)),
        box(0.004, 0.2098, 0.0053, 0.1683, _WOOD, at=(0.0668, 0.0)),
        box(0.004, 0.0668, 0.0118, 0.0986, _WOOD, at=(-0.0016, 0.0)),
        box(0.004, 0.2098, 0.005, 0.0741, _WOOD, at=(-0.0669, 0.0)),
        box(0.004, 0.0766, 0.0081, 0.1673, _WOOD, at=(-0.0669, -0.1398)),
    ]
    steps = [
        part
        for y in (0.0706, 0.2084)
        for part in (
            box(0.0706, 0.0036, 0.0119, 0.0785, _WOOD, at=(0.0, y)),
            box(0.0299, 0.0036, 0.0381, 0.1116, _WOOD, at=(0.0345, y)),
            slanted_box((0.0706, 0.0036, 0.0209), (0.0, y, 0.0945), "y", -0.61, _WOOD),
            slanted_box((0.0279, 0.0036, 0.0114), (0.042, y, 0.1387), "y", -0.62, _WOOD),
            box(0.0114, 0.0036, 0.1048, 0.1424, _WOOD, at=(0.0549, y)),
        )
    ]
    turn = turned("y", pi)
    spaces = (
        ("right", (0.062, 0.0622, 0.0605), (0.0063, -0.1434, 0.0656)),
        ("left", (0.062, 0.0622, 0.0605), (0.0063, 0.1455, 0.0656)),
        ("back", (0.0278, 0.0622, 0.0605), (0.0336, -0.0006, 0.0856)),
        ("front", (0.0278, 0.0622, 0.036), (-0.031, -0.0006, 0.0405)),
    )
    sites = [region(f"{name}_contain_region", size, at, turn) for name, size, at in spaces]
    return "\n".join([geoms([*upright, *steps]), *sites])


def _microwave() -> str:
    """An oven whose door turns around its left edge."""
    case = [
        box(0.0145, 0.0996, 0.0, 0.187, _METAL, at=(-0.158, 0.0115)),
        box(0.0545, 0.0996, 0.0, 0.187, _METAL, at=(0.118, 0.0115)),
        box(0.1035, 0.015, 0.0, 0.187, _METAL, at=(-0.0405, 0.0955)),
        box(0.1035, 0.0845, 0.168, 0.187, _METAL, at=(-0.04, -0.0035)),
        box(0.1035, 0.084, 0.0, 0.024, _METAL, at=(-0.04, -0.004)),
        box(0.0425, 0.012, 0.0, 0.187, _IRON, at=(0.13, -0.0985)),
        *(
            box(0.012, 0.002, z, z + 0.012, _CREAM, solid=False, at=(0.135, -0.111))
            for z in (0.04, 0.075, 0.11)
        ),
    ]
    # Heights and places of the door are relative to its hinge.
    door = [
        box(0.1295, 0.012, -0.0925, 0.0925, _IRON, at=(0.1295, -0.013)),
        box(0.085, 0.0005, -0.06, 0.06, _GLASS, solid=False, at=(0.11, -0.0255)),
        box(0.01, 0.01, -0.065, 0.065, _METAL, at=(0.2375, -0.054)),
        *(
            box(0.01, 0.012, z - 0.01, z + 0.01, _METAL, at=(0.2375, -0.0365))
            for z in (-0.065, 0.065)
        ),
    ]
    regions = (
        region("top_side", (0.12, 0.0835, 0.005), (0.0, 0.01, 0.2)),
        region("heating_region", (0.12, 0.0835, 0.08), (0.0, 0.01, 0.096)),
    )
    hinge = (
        '<body name="microdoorroot" pos="-0.1725 -0.088 0.096">\n'
        '<inertial pos="0.1295 -0.013 0" mass="0.26" diaginertia="0.0008 0.0022 0.0015"/>\n'
        '<joint name="microjoint" type="hinge" axis="0 0 1" limited="true" range="-2.094 0" '
        f'damping="0.5"/>\n{geoms(door)}\n</body>'
    )
    # Parts that other things hit, and not one another: the door would stick in its frame.
    text = "\n".join([geoms(case), *regions, hinge])
    return text.replace(
        'group="0" rgba="0.8 0.8 0.8 0"', 'contype="0" group="0" rgba="0.8 0.8 0.8 0"'
    )
