"""Where LIBERO's meshes, textures and scene files come from.

The package index has LIBERO's code, problems and initial states but no assets. The harness says
where they are: a folder, or that the built-in stand-ins are wanted. Runs of versions that did not
say so stored nothing; then they are looked for in the package's own folder, in the package's own
download, and the stand-ins come last. Nothing is downloaded here.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError, quoted
from . import stand_ins
from .tasks import Task, problem_categories

STAND_INS = "stand-ins"
"""The `assets` setting for the built-in stand-ins."""

_UPSTREAM = Path(__file__).with_name("upstream.json")
_HINT = (
    "run `udvla-eval setup libero --assets`, or name a complete copy with `--assets` or "
    "UDVLA_LIBERO_ASSETS, for example a checkout of LIBERO"
)
_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of a file that Git LFS has not replaced by its content."""
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
    foreign: list[str]
    """Files that this run opens and that differ from LIBERO's own; none for stand-ins."""
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
        SetupError: the requested folder is missing or incomplete.
    """
    if requested == STAND_INS:
        return _stand_ins(suites, cache, "")
    if requested:
        root = Path(requested).expanduser().resolve()
        if not root.is_dir():
            raise SetupError(f"the assets folder `{requested}` does not exist; {_HINT}")
        return _folder("directory", _located(root), suites, needed)
    own = package / "assets"
    if own.is_dir():
        return _folder("package", own, suites, needed)
    download = Path.home() / ".cache" / "libero" / "assets"
    tasks = [task for name in needed or suites for task in suites[name]]
    if download.is_dir() and not missing_files(download, tasks):
        return _folder("hub", download, suites, needed)
    return _stand_ins(suites, cache, "none are on this machine; the built-in stand-ins are used")


def _located(folder: Path) -> Path:
    """The assets folder of a checkout, or the folder itself."""
    places = [folder / name for name in json.loads(_UPSTREAM.read_text())["roots"]]
    return next((place for place in places if (place / "scenes").is_dir()), folder)


def _folder(
    kind: str, root: Path, suites: dict[str, list[Task]], needed: list[str] | None
) -> Assets:
    """The assets in a folder, if it is complete."""
    _check_complete(root, suites, needed)
    opened = required_files(root, [task for name in needed or suites for task in suites[name]])
    return Assets(kind, root, _digest(root, suites), _foreign(root, opened), "")


def check_playable(assets: Assets, suite: str, tasks: list[Task]) -> None:
    """Checks that the assets cover a suite, which stand-ins always do.

    Raises:
        SetupError: files are missing.
    """
    if assets.kind != STAND_INS:
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


def _foreign(root: Path, opened: set[str]) -> list[str]:
    """The files of `opened` that are there and whose content is not LIBERO's own."""
    # Git's object names at the pinned commit.
    known = json.loads(_UPSTREAM.read_text())["files"]
    foreign = []
    for path in sorted(opened):
        if not (root / path).is_file():
            continue
        content = (root / path).read_bytes()
        name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if path not in known or known[path]["git"] != name:
            foreign.append(path)
    return foreign


def _check_complete(folder: Path, suites: dict[str, list[Task]], needed: list[str] | None) -> None:
    if not needed and not all(missing_files(folder, tasks) for tasks in suites.values()):
        return
    tasks = [task for name in needed or suites for task in suites[name]]
    absent = missing_files(folder, tasks)
    if not absent:
        pointers = [path for path in required_files(folder, tasks) if _is_pointer(folder / path)]
        if pointers:
            raise SetupError(
                f"`{folder}` has Git LFS pointers instead of {quoted(sorted(pointers), 3)}; in "
                "that checkout, run `git lfs install --local && git lfs pull`"
            )
    if absent:
        raise SetupError(
            f"the assets folder `{folder}` lacks {len(absent)} file(s): {quoted(absent, 20)}; "
            f"{_HINT}"
        )


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _stand_ins(suites: dict[str, list[Task]], cache: Path, note: str) -> Assets:
    root = stand_ins.write(cache)
    return Assets(STAND_INS, root, _digest(root, suites), [], note)
