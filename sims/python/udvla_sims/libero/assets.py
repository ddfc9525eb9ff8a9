"""Where LIBERO's meshes, textures and scene files come from.

The package index has LIBERO's code, problems and initial states but no assets. These are looked
for in this order: the folder that the user names, the package's own folder, the package's own
download, the built-in stand-ins. A folder that the user names is used or refused, never skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import posixpath
import socket
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError, quoted
from . import stand_ins
from .tasks import Task, problem_categories

STAND_INS = "stand-ins"
"""The `assets` setting for the built-in stand-ins."""

_HUB_REPOSITORY = "lerobot/libero-assets"
_HUB_TIMEOUT_SECONDS = 5
_HINT = (
    "name a complete copy with `--assets` or UDVLA_LIBERO_ASSETS: the folder "
    "`libero/libero/assets` of a LIBERO checkout, or the data set "
    f"`{_HUB_REPOSITORY}` of the Hugging Face hub"
)
_OBJECT_FOLDERS = ("stable_hope_objects", "stable_scanned_objects", "turbosquid_objects")
_WORKSPACES = {"floor", "table", "kitchen_table", "living_room_table", "study_table"}
# Scene file, floor texture and wall texture of each problem class. The class replaces the two
# textures that the scene file itself names.
_SCENES = {
    "libero_tabletop_manipulation": (
        "libero_tabletop_base_style.xml",
        "light-gray-floor-tile.png",
        "light-gray-plaster.png",
    ),
    "libero_floor_manipulation": (
        "libero_floor_base_style.xml",
        "light-gray-floor-tile.png",
        "light-gray-plaster.png",
    ),
    "libero_kitchen_tabletop_manipulation": (
        "libero_kitchen_tabletop_base_style.xml",
        "gray_ceramic_tile.png",
        "yellow_linen_wall_texture.png",
    ),
    "libero_living_room_tabletop_manipulation": (
        "libero_living_room_tabletop_base_style.xml",
        "seamless_wood_planks_floor.png",
        "light-gray-plaster.png",
    ),
    "libero_study_tabletop_manipulation": (
        "libero_study_base_style.xml",
        "light-gray-floor-tile.png",
        "light-gray-plaster.png",
    ),
}
_REPLACED_TEXTURES = {"texplane", "tex-wall"}


class Assets(NamedTuple):
    """The assets of a run."""

    kind: str
    """`directory`, `package`, `hub` or `stand-ins`."""
    root: Path
    """The folder that LIBERO loads from."""
    sha256: str
    """Digest of names and contents of the files that the protocol's suites need."""
    note: str
    """Why an earlier source was not used; may be empty."""


def resolve_assets(
    requested: str | None,
    package: Path,
    suites: dict[str, list[Task]],
    needed: list[str] | None,
    cache: Path,
) -> Assets:
    """Finds the assets.

    Args:
        requested: a folder, `stand-ins`, or none.
        package: LIBERO's package folder.
        suites: the tasks of all suites of the protocol, by suite name.
        needed: the suites that this run plays; all of them must be complete. If unknown, one
            complete suite is enough, and `check_playable` refuses the others later.
        cache: a folder for generated files.

    Raises:
        SetupError: the requested folder is missing or incomplete, or only stand-ins are left
            and do not cover a needed suite.
    """
    if requested == STAND_INS:
        return _stand_ins(suites, needed, cache, "")
    if requested:
        root = Path(requested).expanduser().resolve()
        if not root.is_dir():
            raise SetupError(f"the assets folder `{requested}` does not exist; {_HINT}")
        _check_complete(root, suites, needed)
        return Assets("directory", root, _digest(root, suites), "")
    own = package / "assets"
    if own.is_dir():
        _check_complete(own, suites, needed)
        return Assets("package", own, _digest(own, suites), "")
    hub, note = _hub_folder([task for name in needed or suites for task in suites[name]])
    if hub is not None:
        return Assets("hub", hub, _digest(hub, suites), "")
    return _stand_ins(suites, needed, cache, f"{note}; the built-in stand-ins are used")


def check_playable(assets: Assets, suite: str, tasks: list[Task]) -> None:
    """Checks that the assets cover a suite.

    Raises:
        SetupError: they are stand-ins that do not cover it, or files are missing.
    """
    if assets.kind == STAND_INS:
        _check_covered([suite])
    else:
        _check_complete(assets.root, {suite: tasks}, [suite])


def missing_files(root: Path, tasks: list[Task]) -> list[str]:
    """The missing files, relative to `root`, of those that the tasks open."""
    return sorted(path for path in required_files(root, tasks) if not (root / path).is_file())


def required_files(root: Path, tasks: list[Task]) -> set[str]:
    """The files, relative to `root`, that the tasks make MuJoCo open.

    Read from the scene and object files that exist; of an object whose own file is missing only
    that file is known.
    """
    sources: set[str] = set()
    files: set[str] = set()
    for task in tasks:
        problem, categories = problem_categories(task.problem)
        if problem not in _SCENES:
            raise SetupError(f"`{task.problem.name}` is a problem of unknown kind `{problem}`")
        scene, floor, wall = _SCENES[problem]
        sources.add(f"scenes/{scene}")
        files.update((f"textures/{floor}", f"textures/{wall}"))
        sources.update(_object_file(root, name) for name in categories - _WORKSPACES)
    for source in sources:
        files.add(source)
        if (root / source).is_file():
            files.update(_referenced(root, source))
    return files


def _object_file(root: Path, category: str) -> str:
    candidates = [f"{folder}/{category}/{category}.xml" for folder in _OBJECT_FOLDERS]
    candidates.append(f"articulated_objects/{category}.xml")
    return next((path for path in candidates if (root / path).is_file()), candidates[0])


def _referenced(root: Path, source: str) -> set[str]:
    """The files that the assets of a MuJoCo XML file name, relative to `root`."""
    paths: dict[tuple[str, str], str] = {}
    try:
        document = ElementTree.parse(root / source)
    except ElementTree.ParseError as error:
        raise SetupError(f"`{root / source}` is damaged ({error}); {_HINT}") from error
    for asset in document.getroot().iterfind("./asset/*[@file]"):
        name, file = asset.get("name", ""), asset.get("file", "")
        # Of two assets with one name robosuite keeps the first.
        if name not in _REPLACED_TEXTURES:
            path = posixpath.normpath(f"{posixpath.dirname(source)}/{file}")
            paths.setdefault((asset.tag, name), path)
    return set(paths.values())


def _digest(root: Path, suites: dict[str, list[Task]]) -> str:
    """SHA-256 over `sha256sum`-like lines of the needed files that exist, sorted by name."""
    everything = required_files(root, [task for tasks in suites.values() for task in tasks])
    digest = hashlib.sha256()
    for path in sorted(everything):
        if (root / path).is_file():
            contents = hashlib.sha256((root / path).read_bytes()).hexdigest()
            digest.update(f"{contents}  {path}\n".encode())
    return digest.hexdigest()


def _check_covered(suites: list[str]) -> None:
    uncovered = [name for name in suites if name not in stand_ins.SUITES]
    if uncovered:
        raise SetupError(
            f"the built-in stand-ins cover {quoted(stand_ins.SUITES)}, not {quoted(uncovered)}; "
            f"{_HINT}"
        )


def _check_complete(folder: Path, suites: dict[str, list[Task]], needed: list[str] | None) -> None:
    if not needed and not all(missing_files(folder, tasks) for tasks in suites.values()):
        return
    absent = missing_files(folder, [task for name in needed or suites for task in suites[name]])
    if absent:
        raise SetupError(
            f"the assets folder `{folder}` lacks {len(absent)} file(s): {quoted(absent, 20)}; "
            f"{_HINT}"
        )


def _stand_ins(
    suites: dict[str, list[Task]], needed: list[str] | None, cache: Path, note: str
) -> Assets:
    _check_covered(needed or [])
    root = stand_ins.write(cache)
    covered = {name: suites[name] for name in stand_ins.SUITES if name in suites}
    return Assets(STAND_INS, root, _digest(root, covered), note)


def _hub_folder(tasks: list[Task]) -> tuple[Path | None, str]:
    """The package's downloaded assets, downloaded now if necessary, or none and why."""
    folder = Path.home() / ".cache" / "libero" / "assets"
    if folder.is_dir() and not missing_files(folder, tasks):
        return folder, ""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return None, "the hub was not tried, HF_HUB_OFFLINE is set"
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return None, "the hub was not tried, huggingface_hub is not installed"
    if not _hub_answers():
        return None, "the hub cannot be reached"
    folder.mkdir(parents=True, exist_ok=True)
    print("LIBERO assets: downloading from the hub", file=sys.stderr, flush=True)
    try:
        # Workers start together: one downloads, the others wait for it.
        with open(folder.parent / "assets.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if missing_files(folder, tasks):
                snapshot_download(
                    repo_id=_HUB_REPOSITORY,
                    repo_type="dataset",
                    local_dir=folder,
                    etag_timeout=_HUB_TIMEOUT_SECONDS,
                )
    except Exception as error:  # The hub's client raises many types; each means "no assets".
        return None, f"the download from the hub failed, {type(error).__name__}"
    absent = missing_files(folder, tasks)
    return (None, f"the hub's copy lacks `{absent[0]}`") if absent else (folder, "")


def _hub_answers() -> bool:
    """Whether the hub's host accepts a connection; assumed behind a proxy."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    host = endpoint.split("://")[-1].split("/")[0]
    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port or 443)), timeout=_HUB_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False
