"""CALVIN's files on this machine: where they are, and whether they are the known ones."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
import re
from pathlib import Path
from typing import NamedTuple

from .adapter import SetupError

CLONE = "git clone --recurse-submodules https://github.com/mees/calvin"
_FOLDERS = ("blocks", "calvin_table_D", "franka_panda", "plane")
_DATA = ("calvin_env_data", "calvin_env/data", "data")
_TASKS = (
    "new_playtable_tasks.yaml",
    "calvin_env/conf/tasks/new_playtable_tasks.yaml",
    "conf/tasks/new_playtable_tasks.yaml",
    "calvin_models/conf/callbacks/rollout/tasks/new_playtable_tasks.yaml",
)
_SENTENCES = (
    "new_playtable_validation.yaml",
    "calvin_models/conf/annotations/new_playtable_validation.yaml",
)
_OPENED = (".urdf", ".obj", ".mtl", ".stl", ".png")
"""Endings of the files that pybullet opens; sources of drawings beside them may be missing."""
_ENTRY = re.compile(r"^\s*(\w+)\s*:\s*(\[.*?\])\s*(#.*)?$", re.MULTILINE)


class Checkout(NamedTuple):
    """The files that an evaluation reads."""

    root: Path
    """The checkout."""
    data: Path
    """The folder of meshes and URDF files."""
    sha256: str
    """Over names and contents of those that pybullet opens for environment D."""


def versions() -> dict[str, str]:
    """The versions that can change a result.

    Raises:
        SetupError: pybullet is missing or cannot hand pictures over as arrays.
    """
    found = {"python": platform.python_version()}
    for package in ("pybullet", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise SetupError(
                f"the Python package `{package}` is not installed in Python {found['python']}; "
                "type `udvla-eval setup calvin` (pybullet has wheels for Python 3.10 and 3.11)"
            ) from None
    return found


def find(root: str | None, details: dict) -> Checkout:
    """Looks for CALVIN's files and compares rules and sentences with the protocol's.

    Args:
        root: a checkout of calvin or calvin_env, or a folder with `calvin_env_data` and the two
            task files.
        details: of the protocol's suite. Where it names `annotations`, the sentences are the
            user's own and are not compared.

    Raises:
        SetupError: no folder was given, or something in it is missing or differs.
    """
    if not root:
        raise SetupError(
            f"CALVIN's files are needed: type `{CLONE}` and pass `--calvin-root calvin`"
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise SetupError(f"`--calvin-root {root}` is no folder; type `{CLONE}`")
    data = next((folder / name for name in _DATA if (folder / name).is_dir()), None)
    if data is None or not any(data.iterdir()):
        raise SetupError(
            f"`{folder}` holds no data of calvin_env (looked for {', '.join(_DATA)}); in a "
            "checkout of calvin type `git submodule update --init calvin_env`"
        )
    missing = [name for name in _FOLDERS if not (data / name).is_dir()]
    if missing:
        raise SetupError(f"`{data}` lacks {', '.join(f'`{name}`' for name in missing)}")
    subtasks = details["subtasks"]
    rules = {subtask["name"]: subtask["rule"] for subtask in subtasks}
    _compare(folder, _TASKS, rules, "rule")
    if "annotations" not in details:
        sentences = {subtask["name"]: [subtask["instruction"]] for subtask in subtasks}
        _compare(folder, _SENTENCES, sentences, "sentence")
    return Checkout(folder, data, _digest(data))


def _compare(folder: Path, places: tuple[str, ...], wanted: dict[str, list], what: str) -> None:
    """Refuses a checkout whose task file says something else than the protocol."""
    for path in (folder / place for place in places):
        if not path.is_file():
            continue
        for name, value in _entries(path).items():
            if wanted.get(name) != (value[:1] if what == "sentence" else value):
                raise SetupError(
                    f"`{path}`: the {what} of `{name}` is {value}, the protocol's is "
                    f"{wanted.get(name)}; use CALVIN's own files"
                )


def _entries(path: Path) -> dict[str, list]:
    """The `name: [values]` lines of a file; words without quotes are texts."""
    entries = {}
    for name, values, _ in _ENTRY.findall(path.read_text()):
        quoted = re.sub(r"^\[\s*([A-Za-z_]\w*)", r'["\1"', values)
        try:
            entries[name] = list(ast.literal_eval(quoted))
        except (SyntaxError, ValueError):
            raise SetupError(f"`{path}`: cannot read `{name}: {values}`") from None
    return entries


def _digest(data: Path) -> str:
    digest = hashlib.sha256()
    for name in _FOLDERS:
        files = (path for path in (data / name).rglob("[!.]*") if path.suffix.lower() in _OPENED)
        for path in sorted(files):
            digest.update(path.relative_to(data).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
