"""The tables' collision meshes, the same in every process.

Where it may write, sapien 2.2.2 caches a mesh as `NAME.glb.nonconvex.stl` beside the original and
reads the cache in every later process. The cached mesh collides slightly differently, so the first
process of a fresh checkout would play different episodes from all later ones. Here the cache is
made first, in the worker's own folder, and always used; the checkout is not written to.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import sapien.core as sapien

from ..adapter import SetupError
from .files import CLONE

_STAGES = Path("hab2_bench_assets") / "stages"
_CACHE_SUFFIX = ".nonconvex.stl"


def prepare(data: Path, scenes: set[str], scratch: Path) -> Path:
    """A copy of the benchmark's data folder with cached tables.

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
        _cache(table, ours / "first" / table.name)
    return ours


def _cache(table: Path, copy: Path) -> None:
    """Makes sapien write its cache, of a copy, because sapien remembers files that it has read."""
    shutil.copyfile(table, copy)
    scene = sapien.Engine().create_scene(sapien.SceneConfig())
    builder = scene.create_actor_builder()
    builder.add_nonconvex_collision_from_file(str(copy))
    builder.build_static(name="table")
    kept = copy.with_name(copy.name + _CACHE_SUFFIX)
    if not kept.exists():
        raise SetupError(f"sapien cannot read the table `{table.name}`; clone again with `{CLONE}`")
    shutil.move(kept, table.with_name(kept.name))
