"""SimplerEnv's files on this machine: location, and comparison with the protocol.

The protocol lists every file that an evaluation opens with its git object name, so that missing
and replaced files (stand-ins, a changed table) are detected.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError, installed_versions, quoted

CLONE = "git clone https://github.com/simpler-env/ManiSkill2_real2sim"
_VISUALS = (".obj", ".dae", ".glb")
"""Formats of visual meshes, in order of preference."""
_PARTS = ("data/custom/models", "mani_skill2_real2sim/assets/descriptions/widowx_description")


class Checkout(NamedTuple):
    """The files that an evaluation reads."""

    root: Path
    """The ManiSkill2_real2sim checkout, or a folder of its layout."""
    data: Path
    """Its folder `data`, or one with the same files."""
    sha256: str
    """Digest of names and contents of all files."""
    foreign: list[str]
    """Names of the files that differ from the protocol's."""

    @property
    def models(self) -> Path:
        """The folder with a folder per object."""
        return self.data / "custom" / "models"

    @property
    def urdf(self) -> Path:
        """The robot's description."""
        return self.root / _PARTS[1] / "wx250s.urdf"

    def scene(self, name: str) -> Path:
        """The mesh of a table."""
        return self.data / "hab2_bench_assets" / "stages" / f"{name}.glb"

    def photograph(self, name: str) -> Path:
        """A photograph, the background of robot and objects."""
        return self.data / "real_inpainting" / name


def package_versions() -> dict[str, str]:
    """The versions that can change a result; refuses those that would crash.

    Raises:
        SetupError: sapien has no package for this Python, is missing, or would crash with
            this numpy.
    """
    setup = "run `udvla-eval setup simpler`, or pass `--python` of a Python 3.10 or 3.11"
    if sys.version_info >= (3, 12):
        raise SetupError(
            f"sapien 2.2.2 has no wheels for Python {platform.python_version()}, only up to 3.11; "
            f"{setup}"
        )
    packages = {name: name for name in ("sapien", "numpy", "scipy", "transforms3d")}
    versions = installed_versions(packages, "run `udvla-eval setup simpler`")
    if int(versions["numpy"].partition(".")[0]) >= 2:
        raise SetupError(
            f"numpy {versions['numpy']} crashes sapien's kinematics at the first step; "
            "numpy 1.26.4 works: run `udvla-eval setup simpler`, or `pip install 'numpy<2'`"
        )
    if versions["sapien"] != "2.2.2":
        raise SetupError(
            f"the tasks are defined on sapien 2.2.2, this is {versions['sapien']}; "
            "run `udvla-eval setup simpler`"
        )
    return versions


def visual(folder: Path) -> Path | None:
    """The visual mesh of an object, in the benchmark's order of preference."""
    names = (folder / f"textured{suffix}" for suffix in _VISUALS)
    return next((path for path in names if path.is_file()), None)


def find_files(root: str | None, files: dict[str, str]) -> Checkout:
    """Locates SimplerEnv's files and compares them with the protocol's.

    Args:
        root: a checkout of ManiSkill2_real2sim, or of SimplerEnv with that inside.
        files: the protocol's files, their path in the checkout and their git object name.

    Raises:
        SetupError: no folder was given, or something in it is missing.
    """
    folder = _folder(root)
    contents, missing, foreign = hashlib.sha256(), [], []
    for name, known in files.items():
        path = _present(folder / name)
        if path is None:
            missing.append(name)
            continue
        content = path.read_bytes()
        contents.update(path.relative_to(folder).as_posix().encode() + content)
        if path != folder / name or _git_name(content) != known:
            foreign.append("/".join(path.parts[-2:]))
    if missing:
        raise SetupError(
            f"`{folder}` lacks {quoted(missing, 4)}: "
            "the clone is incomplete; in it, run `git checkout -- data mani_skill2_real2sim`, "
            f"or clone again with `{CLONE}`"
        )
    return Checkout(folder, folder / "data", contents.hexdigest(), foreign)


def _folder(root: str | None) -> Path:
    """The ManiSkill2_real2sim folder: the given one or one in it."""
    if not root:
        raise SetupError(
            f"SimplerEnv's files are needed: run `{CLONE}` and pass "
            "`--simpler-root ManiSkill2_real2sim`"
        )
    given = Path(root).expanduser()
    for folder in (given, given / "ManiSkill2_real2sim"):
        if (folder / _PARTS[0]).is_dir():
            return folder
    what = f"holds no `{_PARTS[0]}`" if given.is_dir() else "is not a folder"
    raise SetupError(
        f"`--simpler-root {root}` {what}; it is a checkout of ManiSkill2_real2sim "
        f"(`{CLONE}`), or of SimplerEnv with its submodule (`git submodule update --init`)"
    )


def _present(path: Path) -> Path | None:
    """The file, or a visual mesh of another format; none if missing."""
    if path.name.startswith("textured."):
        return visual(path.parent)
    return path if path.is_file() else None


def _git_name(content: bytes) -> str:
    """Git's object name of a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
