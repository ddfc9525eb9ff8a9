"""Built-in stand-ins for LIBERO's assets: shapes of our own with the real objects' sizes.

With them a machine that reaches only the package index can run every suite. The stored initial
states fit (the joints are the same) and goals are decided by the same rules, but images and
contacts differ from the real assets, so results cannot be compared with published ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import stand_in_objects, stand_in_tableware
from .shapes import box, geoms, png

SUITES = ("spatial", "object", "goal", "long")
"""The suites that the stand-ins cover: all of the protocol."""


def write(cache: Path) -> Path:
    """Writes the stand-ins below `cache`, if they are not there yet.

    Returns:
        The folder to use as LIBERO's assets folder; its name holds a hash of its files.
    """
    files = _files()
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    folder = cache / f"libero-stand-ins-{digest.hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=cache))
    for name, content in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(content)
    try:
        os.rename(draft, folder)
    except OSError:  # Another process was faster; a non-empty folder is not replaced.
        shutil.rmtree(draft)
    return folder


def _files() -> dict[str, bytes]:
    """All files by their name below the assets folder."""
    return {
        "textures/light-gray-floor-tile.png": png(256, _planks),
        "textures/light-gray-plaster.png": png(64, _plaster),
        "textures/gray_ceramic_tile.png": png(128, _tiles),
        "textures/yellow_linen_wall_texture.png": png(64, _linen),
        "textures/seamless_wood_planks_floor.png": png(256, _planks),
        "textures/table.png": png(128, _table_top),
        **{f"scenes/libero_{name}_base_style.xml": _scene(it) for name, it in _WORKSPACES.items()},
        **stand_in_objects.objects(),
        **stand_in_tableware.objects(),
    }


_BOARD, _LEG = "0.72 0.58 0.4", "0.4 0.3 0.2"

_FLOOR = """<body name="floor" pos="0 0 0">
<geom name="floor" type="plane" size="3 3 .125" condim="3" group="1" material="floorplane"/>
</body>"""

_TABLE = (
    """<geom name="floor" type="plane" size="3 3 .125" condim="3" group="1" \
material="floorplane"/>
<body name="table" pos="0 0 0.4">
<geom name="table_collision" type="box" size="0.4 0.4 0.4" group="0" friction="1 0.005 0.0001"/>
<geom name="table_visual" type="box" size="0.4 0.4 0.4" contype="0" conaffinity="0" group="1" \
material="table_mat"/>
<site name="table_top" pos="0 0 0.4" size="0.001" rgba="0 0 0 0"/>
"""
    + "\n".join(
        f'<geom name="table_leg{leg}_visual" type="cylinder" size="0.05 0.1" contype="0" '
        'conaffinity="0" group="1" rgba="0.4 0.3 0.2 1"/>'
        for leg in (1, 2, 3, 4)
    )
    + "</body>"
)


# A low table, 1.7 m wide. Stored states start some things 3 cm inside it: it is thick, so that
# they are pushed up and out, and of one box, so that they are pushed once.
_LOW_TABLE = f"""<geom name="floor" type="plane" size="3 3 .125" condim="3" group="1" \
material="floorplane"/>
<body name="living_room_table" pos="0 0 0">
{
    geoms(
        [
            box(0.58, 0.86, 0.1, 0.4368, _BOARD, at=(-0.243, 0.04)),
            box(0.4, 0.66, 0.0, 0.1, _LEG, at=(-0.243, 0.04)),
        ]
    )
}
</body>"""

_DESK = f"""<geom name="floor" type="plane" size="3 3 .125" condim="3" group="1" \
material="floorplane"/>
<body name="study_table" pos="0 0 0">
{
    geoms(
        [
            box(0.6895, 1.3927, 0.8135, 0.8851, _BOARD),
            *(
                box(0.02, 0.05, 0.0, 0.788, _LEG, at=(x, y))
                for x in (-0.5, 0.496)
                for y in (-0.691, 0.71)
            ),
        ]
    )
}
</body>"""

_WORKSPACES = {
    "floor": _FLOOR,
    "tabletop": _TABLE,
    "kitchen_tabletop": _TABLE,
    "living_room_tabletop": _LOW_TABLE,
    "study": _DESK,
}
"""The workspace of each scene file."""


def _scene(workspace: str) -> bytes:
    """A room with a floor or table, in the form that LIBERO's arena classes read."""
    walls = "\n".join(
        f'<geom name="wall_{name}" type="box" pos="{at}" size="{size}" contype="0" '
        'conaffinity="0" group="1" material="walls_mat"/>'
        for name, at, size in (
            ("rear", "-2 0 1.5", "0.01 3 1.5"),
            ("left", "0.5 3 1.5", "2.5 0.01 1.5"),
            ("right", "0.5 -3 1.5", "2.5 0.01 1.5"),
        )
    )
    text = f"""<mujoco model="stand_in_arena">
<asset>
<texture name="sky" type="skybox" builtin="gradient" rgb1="0.9 0.93 1" rgb2="0.5 0.6 0.7" \
width="64" height="384"/>
<texture name="texplane" type="2d" file="../textures/light-gray-floor-tile.png"/>
<material name="floorplane" texture="texplane" texrepeat="2 2" texuniform="true" specular="0" \
shininess="0" reflectance="0"/>
<texture name="tex-wall" type="2d" file="../textures/light-gray-plaster.png"/>
<material name="walls_mat" texture="tex-wall" texrepeat="2 2" texuniform="true" specular="0.1" \
shininess="0.1"/>
<texture name="tex-table" type="cube" file="../textures/table.png"/>
<material name="table_mat" texture="tex-table" specular="0.1" shininess="0"/>
</asset>
<worldbody>
{workspace}
{walls}
<light name="light1" pos="1 1 4" dir="0 -0.15 -1" diffuse="0.8 0.8 0.8" \
specular="0.3 0.3 0.3" directional="false" castshadow="false"/>
<light name="light2" pos="-3 -3 4" dir="0 -0.15 -1" diffuse="0.8 0.8 0.8" \
specular="0.3 0.3 0.3" directional="false" castshadow="false"/>
<camera name="frontview" mode="fixed" pos="1 0 1.45" quat="0.56 0.43 0.43 0.56"/>
<camera name="agentview" mode="fixed" pos="0.5 0 1.35" quat="0.653 0.271 0.271 0.653"/>
</worldbody>
</mujoco>
"""
    return text.encode()


def _planks(row: int, column: int) -> tuple[int, int, int]:
    """Wooden boards: four per image, each with its own shade, with ends, joints and a grain."""
    board, across = divmod(row, 64)
    along = (column + 97 * board) % 256
    if across < 2 or along < 2:
        return (92, 70, 50)
    shade = (0, 12, -9, 6)[board] + ((across * across * 7 + along // 9 * (5 + board)) % 13)
    return (168 + shade, 134 + shade, 98 + shade)


def _tiles(row: int, column: int) -> tuple[int, int, int]:
    """Gray tiles with joints, two by two per image."""
    if row % 64 < 2 or column % 64 < 2:
        return (112, 114, 116)
    shade = (row // 64 * 5 + column // 64 * 9) % 12 + (row * column * 3 + column) % 5
    return (150 + shade, 153 + shade, 156 + shade)


def _linen(row: int, column: int) -> tuple[int, int, int]:
    """Yellow cloth: threads that cross."""
    shade = 6 * (row % 2) + 4 * (column % 2) + (row * 7 + column * 3) % 5
    return (208 + shade, 192 + shade, 142 + shade)


def _plaster(row: int, column: int) -> tuple[int, int, int]:
    shade = (row * row * 31 + column * column * 17 + row * column * 7) % 9
    return (196 + shade, 200 + shade, 203 + shade)


def _table_top(row: int, column: int) -> tuple[int, int, int]:
    """Light wood: long fibres along the rows."""
    shade = (column * column * 5 // 3 + (row // 16) * (column % 5)) % 11
    return (214 + shade, 192 + shade, 158 + shade)
