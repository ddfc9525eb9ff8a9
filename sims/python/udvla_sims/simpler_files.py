"""SimplerEnv's files on this machine: where they are, and whether they are the known ones.

The protocol names every file that an evaluation opens with its git object name, so that files of
another origin (stand-ins, a changed table) are told apart and none is missed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import NamedTuple

from .adapter import SetupError

CLONE = "git clone https://github.com/simpler-env/ManiSkill2_real2sim"
_VISUALS = (".obj", ".dae", ".glb")
"""A visual mesh is looked for in these formats, in this order."""
_PARTS = ("data/custom/models", "mani_skill2_real2sim/assets/descriptions/widowx_description")


class Checkout(NamedTuple):
    """The files that an evaluation reads."""

    root: Path
    """The ManiSkill2_real2sim checkout, or a folder of its layout."""
    data: Path
    """Its folder `data`, or one with the same files."""
    sha256: str
    """Over names and contents of all of them."""
    foreign: list[str]
    """Names of those that are not the protocol's."""

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
        """A photograph that is laid behind robot and objects."""
        return self.data / "real_inpainting" / name


def versions() -> dict[str, str]:
    """The versions that can change a result; refuses those that would crash.

    Raises:
        SetupError: sapien has no package for this Python, is missing, or would crash with
            this numpy.
    """
    found = {"python": platform.python_version()}
    setup = "type `udvla-eval setup simpler`, or pass `--python` of a Python 3.10 or 3.11"
    if sys.version_info >= (3, 12):
        raise SetupError(
            f"sapien 2.2.2 has no packages for Python {found['python']}, only up to 3.11; {setup}"
        )
    for package in ("sapien", "numpy", "scipy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise SetupError(
                f"the Python package `{package}` is not installed in Python {found['python']}; "
                "type `udvla-eval setup simpler`"
            ) from None
    if int(found["numpy"].partition(".")[0]) >= 2:
        raise SetupError(
            f"numpy {found['numpy']} crashes sapien's kinematics at the first step; "
            "numpy 1.26.4 works: type `udvla-eval setup simpler`, or `pip install 'numpy<2'`"
        )
    if found["sapien"] != "2.2.2":
        raise SetupError(
            f"the tasks are defined on sapien 2.2.2, this is {found['sapien']}; "
            "type `udvla-eval setup simpler`"
        )
    return found


def visual(folder: Path) -> Path | None:
    """The mesh that shows an object, as the benchmark looks for it."""
    names = (folder / f"textured{suffix}" for suffix in _VISUALS)
    return next((path for path in names if path.is_file()), None)


def find(root: str | None, files: dict[str, str]) -> Checkout:
    """Looks for SimplerEnv's files and compares them with the protocol's.

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
            f"`{folder}` lacks {_listed([f'`{name}`' for name in missing])}: "
            "the clone is not complete; in it, type `git checkout -- data mani_skill2_real2sim`, "
            f"or clone again with `{CLONE}`"
        )
    return Checkout(folder, folder / "data", contents.hexdigest(), foreign)


def _folder(root: str | None) -> Path:
    """The ManiSkill2_real2sim folder that was given or lies in what was given."""
    if not root:
        raise SetupError(
            f"SimplerEnv's files are needed: type `{CLONE}` and pass "
            "`--simpler-root ManiSkill2_real2sim`"
        )
    given = Path(root).expanduser()
    for folder in (given, given / "ManiSkill2_real2sim"):
        if (folder / _PARTS[0]).is_dir():
            return folder
    what = f"holds no `{_PARTS[0]}`" if given.is_dir() else "is no folder"
    raise SetupError(
        f"`--simpler-root {root}` {what}; it is a checkout of ManiSkill2_real2sim "
        f"(`{CLONE}`), or of SimplerEnv with its submodule (`git submodule update --init`)"
    )


def _present(path: Path) -> Path | None:
    """The file, or for a visual mesh the one of another format."""
    if path.name.startswith("textured."):
        return visual(path.parent)
    return path if path.is_file() else None


def _git_name(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
