"""LIBERO's task table and stored initial states, read from the installed package by path.

LIBERO itself is not imported: its benchmark module needs torch, which the simulator never
uses. The package's data files suffice: the suite map (a Python file that holds one
dictionary), the problem files (`.bddl`) and the initial states (`.pruned_init`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..adapter import SetupError, quoted

_ARRAY_PARTS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class Task(NamedTuple):
    """One task of a suite."""

    instruction: str
    """Derived from the file name, as the public harnesses do."""
    problem: Path
    """Its `.bddl` file."""
    initial_states: Path
    """Its `.pruned_init` file."""


def package_root() -> Path:
    """The folder of the installed `libero.libero` package, without importing it.

    Raises:
        SetupError: the package is not installed in this environment.
    """
    spec = importlib.util.find_spec("libero")
    for location in spec.submodule_search_locations or [] if spec else []:
        root = Path(location) / "libero"
        if (root / "bddl_files").is_dir():
            return root
    raise SetupError(
        "the Python package `hf-libero` is not installed in this environment; "
        "run `pip install --no-deps hf-libero==0.1.4`"
    )


def suite_tasks(root: Path, upstream: str) -> list[Task]:
    """The tasks of a suite in the benchmark's order.

    Args:
        root: as `package_root` gives it.
        upstream: the suite's name in LIBERO, for example `libero_10`.

    Raises:
        SetupError: the installed package has no such suite, or lacks files of it.
    """
    names = _suite_map(root).get(upstream)
    if names is None:
        raise SetupError(f"the installed `hf-libero` has no suite `{upstream}`")
    tasks = [
        Task(
            instruction=_instruction(name),
            problem=root / "bddl_files" / upstream / f"{name}.bddl",
            initial_states=root / "init_files" / upstream / f"{name}.pruned_init",
        )
        for name in names
    ]
    absent = [str(path) for task in tasks for path in task[1:] if not path.is_file()]
    if absent:
        raise SetupError(f"the installed `hf-libero` lacks {quoted(absent)}")
    return tasks


def suite_digest(tasks: list[Task]) -> str:
    """SHA-256 over the suite's problem files and initial states, in task order.

    The digested text is what `sha256sum` prints for the files (with bare file names): first a
    task's `.bddl`, then its `.pruned_init`, then the next task's.
    """
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for task in tasks
        for path in (task.problem, task.initial_states)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def initial_states(path: Path) -> NDArray[np.float64]:
    """The stored initial states of a task.

    Args:
        path: a `.pruned_init` file: a zip archive whose member `data.pkl` is the pickle of one
            numpy array.

    Returns:
        [trials, n] f64; per trial simulated time, joint positions, joint velocities.

    Raises:
        SetupError: the file has another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            states = _ArrayUnpickler(io.BytesIO(archive.read(member))).load()
    except (zipfile.BadZipFile, StopIteration, pickle.UnpicklingError) as error:
        raise SetupError(f"`{path}` is not a file of stored initial states") from error
    if not isinstance(states, np.ndarray) or states.ndim != 2:
        raise SetupError(f"`{path}` does not hold a table of initial states")
    return np.asarray(states, dtype=np.float64)


def problem_categories(problem: Path) -> tuple[str, set[str]]:
    """The lower-case class name of a problem, and the categories of its fixtures and objects.

    Raises:
        SetupError: the file names no problem.
    """
    text = re.sub(r";.*", "", problem.read_text())
    name = re.search(r"\(problem\s+(\w+)\)", text)
    if name is None:
        raise SetupError(f"`{problem}` names no problem")
    categories: set[str] = set()
    for section in re.findall(r"\(:(?:fixtures|objects)([^()]*)\)", text):
        categories.update(re.findall(r"\s-\s+(\w+)", section))
    return name.group(1).lower(), categories


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else: the file comes from a package index."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f"`{module}.{name}` is not part of an array")
        return super().find_class(module, name)


def _suite_map(root: Path) -> dict[str, list[str]]:
    path = root / "benchmark" / "libero_suite_task_map.py"
    spec = importlib.util.spec_from_file_location("udvla_sims_libero_suite_map", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SetupError(f"the installed `hf-libero` lacks `{path}`")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.libero_task_map


def _instruction(name: str) -> str:
    """The instruction in a task's file name, without the scene's prefix (`KITCHEN_SCENE3_`)."""
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", name).replace("_", " ")
