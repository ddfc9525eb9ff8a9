"""CALVIN's files on this machine: location, and comparison with the protocol."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError, installed_versions, quoted

CLONE = "git clone --recurse-submodules https://github.com/mees/calvin"
_FOLDERS = ("blocks", "calvin_table_D", "franka_panda", "plane")
_DATA = ("calvin_env_data", "calvin_env/data", "data")
_TASKS = (
    "new_playtable_tasks.yaml",
    "calvin_env/conf/tasks/new_playtable_tasks.yaml",
    "conf/tasks/new_playtable_tasks.yaml",
    "calvin_models/conf/callbacks/rollout/tasks/new_playtable_tasks.yaml",
)
_INSTRUCTIONS = (
    "new_playtable_validation.yaml",
    "calvin_models/conf/annotations/new_playtable_validation.yaml",
)
_OPENED = (".urdf", ".obj", ".mtl", ".stl", ".png")
"""Suffixes of the files that pybullet opens; other files beside them may be missing."""
_ENTRY = re.compile(r"^\s*(\w+)\s*:\s*(\[.*?\])\s*(#.*)?$", re.MULTILINE)


class Checkout(NamedTuple):
    """The files that an evaluation reads."""

    root: Path
    """The checkout."""
    data: Path
    """The folder of meshes and URDF files."""
    sha256: str
    """Digest of names and contents of the files that pybullet opens for environment D."""


def package_versions() -> dict[str, str]:
    """The versions that can change a result.

    Raises:
        SetupError: a package is missing.
    """
    return installed_versions(
        {"pybullet": "pybullet", "numpy": "numpy"},
        "run `udvla-eval setup calvin` (pybullet has wheels for Python 3.10 and 3.11)",
    )


def find_files(root: str | None, details: dict) -> Checkout:
    """Locates CALVIN's files and compares rules and instructions with the protocol's.

    Args:
        root: a checkout of calvin or calvin_env, or a folder with `calvin_env_data` and the two
            task files.
        details: of the protocol's suite. If it names `annotations`, the instructions are the
            user's own and are not compared.

    Raises:
        SetupError: no folder was given, or something in it is missing or differs.
    """
    if not root:
        raise SetupError(
            f"CALVIN's files are needed: run `{CLONE}` and pass `--calvin-root calvin`"
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise SetupError(f"`--calvin-root {root}` is not a folder; run `{CLONE}`")
    data = next((folder / name for name in _DATA if (folder / name).is_dir()), None)
    if data is None or not any(data.iterdir()):
        raise SetupError(
            f"`{folder}` holds no data of calvin_env (looked for {', '.join(_DATA)}); in a "
            "checkout of calvin run `git submodule update --init calvin_env`"
        )
    missing = [name for name in _FOLDERS if not (data / name).is_dir()]
    if missing:
        raise SetupError(f"`{data}` lacks {quoted(missing)}")
    subtasks = details["subtasks"]
    rules = {subtask["name"]: subtask["rule"] for subtask in subtasks}
    _compare(folder, _TASKS, rules, "rule")
    if "annotations" not in details:
        instructions = {subtask["name"]: [subtask["instruction"]] for subtask in subtasks}
        _compare(folder, _INSTRUCTIONS, instructions, "instruction")
    return Checkout(folder, data, _digest(data))


def _compare(folder: Path, files: tuple[str, ...], expected: dict[str, list], what: str) -> None:
    """Refuses a checkout whose task file differs from the protocol."""
    for path in (folder / file for file in files):
        if not path.is_file():
            continue
        for name, value in _entries(path).items():
            if expected.get(name) != (value[:1] if what == "instruction" else value):
                raise SetupError(
                    f"`{path}`: the {what} of `{name}` is {value}, the protocol's is "
                    f"{expected.get(name)}; use CALVIN's own files"
                )


def _entries(path: Path) -> dict[str, list]:
    """The `name: [values]` lines of a YAML file; unquoted words are strings."""
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
