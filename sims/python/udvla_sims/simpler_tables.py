"""The tables' collision meshes, the same in every process.

Where it may write, sapien 2.2.2 keeps a mesh as `NAME.glb.nonconvex.stl` beside the original and
reads that in every later process. The kept one collides a little differently, so that the first
process of a fresh checkout would play other episodes than all later ones. Here the kept form is
made first, in the worker's own folder, and only that is played; the checkout stays as it is.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import sapien.core as sapien

from .adapter import SetupError
from .simpler_files import CLONE

_STAGES = Path("hab2_bench_assets") / "stages"
_KEPT = ".nonconvex.stl"


def prepare(data: Path, scenes: set[str], scratch: Path) -> Path:
    """A folder of the benchmark's data whose tables are in the form that sapien keeps.

    Args:
        data: the checkout's folder `data`.
        scenes: the tables' names.
        scratch: a writable folder.

    Returns:
        A folder in `scratch` with the layout of `data`.

    Raises:
        SetupError: sapien cannot read a table.
    """
    ours = Path(tempfile.mkdtemp(prefix="simpler-", dir=scratch))
    (ours / _STAGES).mkdir(parents=True)
    (ours / "first").mkdir()
    for name in ("custom", "real_inpainting"):
        (ours / name).symlink_to((data / name).resolve(), target_is_directory=True)
    for scene in sorted(scenes):
        table = ours / _STAGES / f"{scene}.glb"
        shutil.copyfile(data / _STAGES / table.name, table)
        _keep(table, ours / "first" / table.name)
    return ours


def _keep(table: Path, copy: Path) -> None:
    """Lets sapien write the form that it keeps; of a copy, for it remembers what it has read."""
    shutil.copyfile(table, copy)
    scene = sapien.Engine().create_scene(sapien.SceneConfig())
    builder = scene.create_actor_builder()
    builder.add_nonconvex_collision_from_file(str(copy))
    builder.build_static(name="table")
    kept = copy.with_name(copy.name + _KEPT)
    if not kept.exists():
        raise SetupError(f"sapien cannot read the table `{table.name}`; clone again with `{CLONE}`")
    shutil.move(kept, table.with_name(kept.name))
