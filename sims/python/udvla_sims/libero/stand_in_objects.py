"""The objects and furniture of the stand-ins: a table of sizes and colours.

The sizes are those of the collision shapes of LIBERO's own objects, in meters; the shapes and
colours are ours.
"""

from __future__ import annotations

from math import radians

from .shapes import (
    ALONG_Y,
    UPRIGHT,
    Part,
    Quaternion,
    Vector,
    box,
    can,
    funnel,
    geoms,
    object_xml,
    region,
    slanted_box,
    turned,
)

_METAL, _WHITE, _CREAM = "0.75 0.76 0.78", "0.95 0.94 0.91", "0.97 0.9 0.7"
_RED, _GREEN, _BLUE = "0.78 0.13 0.1", "0.16 0.5 0.2", "0.15 0.3 0.68"
_YELLOW, _ORANGE, _BROWN = "0.95 0.78 0.15", "0.95 0.5 0.08", "0.3 0.16 0.09"
_WICKER, _WICKER_DARK, _WICKER_LIGHT = "0.6 0.4 0.2", "0.45 0.29 0.14", "0.72 0.52 0.3"
_OAK, _WALNUT, _IRON = "0.62 0.44 0.27", "0.33 0.2 0.12", "0.15 0.15 0.16"
_CERAMIC, _BOTTLE, _SOOT = "0.86 0.87 0.88", "0.09 0.2 0.11", "0.14 0.14 0.16"


def objects() -> dict[str, bytes]:
    """The object files by their name below the assets folder."""
    files = {
        f"stable_hope_objects/{name}/{name}.xml": object_xml(name, geoms(parts, axis), *reach)
        for name, (parts, axis, *reach) in _GROCERIES.items()
    }
    for name, parts in _TABLEWARE.items():
        content = geoms(parts)
        if name == "basket":
            content += region("contain_region", (0.061, 0.061, 0.0695), (0, 0, 0.0718))
        path = f"stable_scanned_objects/{name}/{name}.xml"
        files[path] = object_xml(name, content, -0.06, 0.04, 0.025)
    for name, content in (("wine_bottle", geoms(_wine_bottle())), ("wine_rack", _wine_rack())):
        path = f"turbosquid_objects/{name}/{name}.xml"
        files[path] = object_xml(name, content, -0.06, 0.04, 0.025)
    articulated = (
        ("wooden_cabinet", cabinet(_WALNUT, _OAK)),
        ("white_cabinet", cabinet(_CERAMIC, _WHITE)),
        ("flat_stove", _stove()),
    )
    for name, content in articulated:
        path = f"articulated_objects/{name}.xml"
        files[path] = object_xml(name, content, -0.045, 0.045, 0.045)
    return files


def _tin(label: str, stripe: str) -> list[Part]:
    """A tin with a paper label, standing along z."""
    # As for the bottle: boxes, so that it stands on a box.
    carriers = [
        Part("box", (0.0285, 0.0118, 0.0385), (0, 0, 0), "", turned("z", radians(angle)))
        for angle in (0, 45, 90, 135)
    ]
    return [
        can(0.0312, -0.0385, 0.0385, _METAL, solid=False),
        *carriers,
        can(0.0318, -0.033, 0.032, label, solid=False),
        can(0.0321, -0.006, 0.012, stripe, solid=False),
        can(0.0285, 0.0385, 0.0388, "0.6 0.61 0.63", solid=False),
    ]


def _squeeze_bottle(body: str, label: str, cap: str) -> list[Part]:
    """A flat bottle with shoulders and a cap, standing along z."""
    return [
        box(0.027, 0.0175, -0.073, -0.006, body),
        box(0.02, 0.0135, -0.006, 0.034, body),
        can(0.0142, 0.034, 0.073, cap),
        box(0.0272, 0.0178, -0.056, -0.02, label, solid=False),
    ]


def _carton(body: str, label: str, gable: str) -> list[Part]:
    """A drink carton with a gable, standing along z."""
    roof = [
        slanted_box((0.0138, 0.0263, 0.0022), (side * 0.0135, 0, 0.0478), "y", side * 0.735, gable)
        for side in (-1, 1)
    ]
    return [
        box(0.0263, 0.0263, -0.0698, 0.0398, body),
        box(0.0115, 0.0255, 0.0398, 0.047, gable),
        box(0.0035, 0.0263, 0.0555, 0.0614, _WHITE),
        box(0.0266, 0.0266, -0.0698, -0.048, label, solid=False),
        box(0.0266, 0.0266, -0.012, 0.018, label, solid=False),
        *roof,
    ]


def _packet(size: Vector, body: str, label: str, stripe: str) -> list[Part]:
    """A flat packet lying on its largest side."""
    x, y, z = size
    return [
        box(x, y, -z, z, body),
        box(x * 0.62, y * 0.62, -z, z + 0.0004, label, solid=False),
        box(x * 0.1, y + 0.0003, -z, z + 0.0003, stripe, solid=False, at=(x * 0.78, 0)),
        box(x * 0.1, y + 0.0003, -z, z + 0.0003, stripe, solid=False, at=(-x * 0.78, 0)),
    ]


def _basket() -> list[Part]:
    """An open basket: a floor and four walls, with woven bands and a rim."""
    parts = [box(0.076, 0.0724, 0.0045, 0.0215, _WICKER)]
    for side in (-1, 1):
        parts += [
            box(0.0067, 0.0785, 0.0045, 0.1445, _WICKER, at=(side * 0.0755, 0)),
            box(0.0688, 0.0067, 0.0045, 0.1445, _WICKER, at=(0, side * 0.0718)),
        ]
        for low in (0.012, 0.046, 0.08, 0.114):
            band = {"low": low, "high": low + 0.017, "colour": _WICKER_DARK, "solid": False}
            parts += [
                box(0.0075, 0.0793, at=(side * 0.0755, 0), **band),
                box(0.0696, 0.0075, at=(0, side * 0.0718), **band),
            ]
        rim = {"low": 0.137, "high": 0.1455, "colour": _WICKER_LIGHT, "solid": False}
        parts += [
            box(0.0085, 0.0803, at=(side * 0.0755, 0), **rim),
            box(0.0706, 0.0085, at=(0, side * 0.0718), **rim),
        ]
    return parts


# Some stored states let dishes overlap, so thicker walls than these throw them apart.
def _bowl() -> list[Part]:
    return [
        can(0.0225, 0.0016, 0.0068, _SOOT),
        *funnel(0.0231, 0.0437, 0.0036, 0.0154, 0.0015, _SOOT, sides=16),
        *funnel(0.0436, 0.053, 0.0159, 0.0521, 0.0026, _SOOT, sides=16),
    ]


def _plate() -> list[Part]:
    rim = funnel(0.0332, 0.0675, 0.0, 0.0122, 0.005, _WHITE, sides=16)
    return [can(0.0332, 0.0003, 0.0053, _WHITE), *rim]


def _ramekin() -> list[Part]:
    wall = funnel(0.0375, 0.0438, 0.0007, 0.0427, 0.005, _CERAMIC, sides=16)
    return [can(0.0335, 0.0007, 0.0069, _CERAMIC), *wall]


def _wine_bottle() -> list[Part]:
    # Crossed boxes carry it: contacts of a thin cylinder with a box do not keep it upright.
    carriers = [
        Part("box", (0.0165, 0.0165, 0.0455), (0, 0, 0.046), "", turned("z", angle))
        for angle in (0.0, radians(45))
    ]
    return [
        *carriers,
        can(0.0213, 0.0005, 0.092, _BOTTLE, solid=False),
        can(0.0145, 0.092, 0.112, _BOTTLE),
        can(0.0085, 0.112, 0.1585, _BOTTLE),
        can(0.0216, 0.022, 0.066, _CREAM, solid=False),
        can(0.0088, 0.13, 0.159, _RED, solid=False),
    ]


def _wine_rack() -> str:
    """A foot, a leaning post and two leaning shelves, each with a strip that stops bottles."""
    lean = radians(31.3)
    shelves = [
        part
        for y, z, stop_y, stop_z in (
            (-0.0061, 0.2512, -0.0748, 0.2207),
            (-0.0427, 0.1273, -0.1091, 0.0974),
        )
        for part in (
            slanted_box((0.134, 0.0789, 0.0045), (0, y, z), "x", lean, _OAK),
            slanted_box((0.132, 0.0011, 0.0087), (0, stop_y, stop_z), "x", lean, _WALNUT),
        )
    ]
    foot = [
        box(0.0665, 0.093, 0.0021, 0.0111, _WALNUT),
        box(0.09, 0.0141, 0.0111, 0.025, _WALNUT),
        slanted_box((0.09, 0.06, 0.0045), (0, 0.0694, 0.0101), "x", radians(-7.5), _WALNUT),
        slanted_box((0.09, 0.06, 0.0045), (0, -0.0643, 0.0126), "x", radians(8), _WALNUT),
        slanted_box((0.0076, 0.009, 0.1616), (0, 0.0089, 0.1703), "x", radians(-15.8), _WALNUT),
    ]
    rack = geoms([*foot, *shelves])
    tilt = turned("x", radians(-62.5))
    return rack + region("top_region", (0.1009, 0.022, 0.0025), (0, -0.08, 0.2175), tilt)


def cabinet(colour: str, front: str) -> str:
    """Three drawers that slide along -y out of a body that stands still."""
    x, y = 0.0035, 0.0162
    body = [
        *(box(0.005, 0.0954, 0.0084, 0.2201, colour, at=(x + s * 0.1155, y)) for s in (-1, 1)),
        box(0.1205, 0.0023, 0.0049, 0.223, colour, at=(x, 0.1095)),
        box(0.1228, 0.0896, 0.0049, 0.0089, colour, at=(x, y)),
        box(0.1273, 0.0941, 0.2201, 0.223, colour, at=(x, 0.0158)),
        *(
            box(0.1117, 0.0894, z - 0.0008, z + 0.0008, colour, at=(x, 0.0187))
            for z in (0.0793, 0.1494)
        ),
    ]
    top = region("top_side", (0.1253, 0.0944, 0.0015), (0.0035, 0.0157, 0.2215))
    drawers = "\n".join(
        _drawer(*values, front)
        for values in (
            ("top", 0.1836, 0.1839, 0.1856),
            ("middle", 0.1139, 0.1104, 0.1169),
            ("bottom", 0.0453, 0.0411, 0.047),
        )
    )
    return f'<body name="base">\n{geoms(body)}\n{top}\n{drawers}\n</body>'


def _drawer(name: str, z: float, handle: float, inside: float, front: str) -> str:
    """A drawer.

    Args:
        name: of its level.
        z: height of its middle.
        handle: height of its handle.
        inside: height of the middle of its inner space, which goals refer to.
        front: its colour.
    """
    x = 0.0034
    parts = [
        box(0.1093, 0.0027, z - 0.0346, z + 0.0338, front, at=(x, -0.0752)),
        *(box(0.1068, 0.0036, z - 0.0321, z + 0.0321, front, at=(x, y)) for y in (-0.0684, 0.0908)),
        *(
            box(0.0024, 0.0815, z - 0.0316, z + 0.0316, front, at=(x + s * 0.1054, 0.011))
            for s in (-1, 1)
        ),
        box(0.107, 0.081, z - 0.0324, z - 0.0245, front, at=(x, 0.0105)),
        box(0.0445, 0.0077, handle - 0.0082, handle + 0.0082, _METAL, at=(-0.0028, -0.1016)),
        *(
            box(0.0051, 0.0106, handle - 0.0055, handle + 0.0055, _METAL, at=(side, -0.0835))
            for side in (0.0292, -0.0356)
        ),
    ]
    # LIBERO takes a region's size in its own axes; its drawers' regions lie on their side.
    side = turned("y", radians(90))
    space = region(f"{name}_region", (0.0299, 0.0756, 0.1022), (0.0033, 0.0113, inside), side)
    return (
        f'<body name="cabinet_{name}">\n<inertial pos="0 0 0" mass="3" diaginertia="1 1 1"/>\n'
        f'<joint name="{name}_level" type="slide" axis="0 1 0" limited="true" '
        f'range="-0.16 0.01" damping="50"/>\n{geoms(parts)}\n{space}\n</body>'
    )


def _stove() -> str:
    """A burner, which glows when it is on, and the knob that turns it."""
    burner = [
        box(0.095, 0.095, -0.02, 0.02, _METAL),
        box(0.095, 0.095, 0.0245, 0.0255, "", solid=True),
        *(
            can(radius, 0.02, 0.0205 + 0.0003 * index, colour, solid=False)
            for index, (radius, colour) in enumerate(
                ((0.078, _IRON), (0.066, _METAL), (0.054, _IRON), (0.042, _METAL), (0.03, _IRON))
            )
        ),
    ]
    knob = [
        can(0.049, 0.0004, 0.0128, _IRON),
        box(0.0115, 0.042, 0.0128, 0.047, _IRON, at=(0.001, 0.008)),
    ]
    cook = region("cook_region", (0.075, 0.075, 0.0025), (0, 0, 0))
    glow = (
        '<site name="burner" type="cylinder" size="0.0625 0.0005" pos="0 0 0.0225" '
        'rgba="0.9 0.05 0.05 1"/>'
    )
    return (
        f'<body name="base">\n<body name="burner" pos="0.15 0 0">\n{geoms(burner)}\n{cook}\n'
        f'{glow}\n</body>\n<body name="button" quat="0.7071068 0 0 0.7071068">\n'
        '<inertial pos="0 0 0" mass="3" diaginertia="1 1 1"/>\n'
        '<joint name="button" type="hinge" axis="0 0 1" limited="true" range="-0.005 2.1" '
        f'damping="1"/>\n{geoms(knob)}\n</body>\n</body>'
    )


# Parts, axis, and the sampler's bottom, top and radius of what is grasped in the suite object.
_GROCERIES: dict[str, tuple[list[Part], Quaternion, float, float, float]] = {
    "alphabet_soup": (_tin(_BLUE, _YELLOW), ALONG_Y, -0.04, 0.04, 0.025),
    "tomato_sauce": (_tin(_RED, _GREEN), ALONG_Y, -0.06, 0.04, 0.025),
    "salad_dressing": (
        _squeeze_bottle("0.72 0.78 0.5", _WHITE, _GREEN),
        ALONG_Y,
        -0.06,
        0.04,
        0.025,
    ),
    "ketchup": (_squeeze_bottle(_RED, _WHITE, _WHITE), ALONG_Y, -0.06, 0.04, 0.025),
    "bbq_sauce": (
        [
            box(0.0235, 0.0145, -0.0546, -0.001, _BROWN),
            box(0.0145, 0.014, -0.001, 0.028, _BROWN),
            can(0.0133, 0.028, 0.0525, _YELLOW),
            box(0.0237, 0.0148, -0.042, -0.014, _ORANGE, solid=False),
        ],
        UPRIGHT,
        -0.06,
        0.06,
        0.015,
    ),
    "milk": (_carton(_WHITE, _RED, _RED), ALONG_Y, -0.06, 0.04, 0.03),
    "orange_juice": (_carton(_WHITE, _ORANGE, _GREEN), ALONG_Y, -0.06, 0.04, 0.025),
    "butter": (
        _packet((0.0381, 0.0198, 0.0087), _CREAM, _RED, _YELLOW),
        UPRIGHT,
        -0.02,
        0.02,
        0.02,
    ),
    "cream_cheese": (
        _packet((0.0406, 0.0213, 0.0089), "0.75 0.83 0.93", _WHITE, _BLUE),
        UPRIGHT,
        -0.025,
        0.025,
        0.03,
    ),
    "chocolate_pudding": (
        _packet((0.0401, 0.0232, 0.0137), _BROWN, _CREAM, _ORANGE),
        UPRIGHT,
        -0.06,
        0.04,
        0.025,
    ),
    "cookies": (
        _packet((0.031, 0.0413, 0.0094), _RED, _YELLOW, _CREAM),
        UPRIGHT,
        -0.06,
        0.04,
        0.025,
    ),
}
_TABLEWARE = {
    "basket": _basket(),
    "akita_black_bowl": _bowl(),
    "plate": _plate(),
    "glazed_rim_porcelain_ramekin": _ramekin(),
}
