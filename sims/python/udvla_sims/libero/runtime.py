"""The process in which LIBERO runs: environment variables, imports, renderer, versions.

All of it has to happen before or during the first import of robosuite.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from ..adapter import SetupError, installed_versions
from . import renderers
from .renderers import Choice

_PACKAGES = {
    "hf_libero": "hf-libero",
    **{name: name for name in ("bddl", "mujoco", "numba", "numpy", "robosuite", "scipy")},
}
_ROBOSUITE = "1.4.0"
_NEWEST_MUJOCO = (3, 8)
_INSTALL = (
    "pip install --no-deps hf-libero==0.1.4 robosuite==1.4.0 bddl==1.0.1 && "
    "pip install mujoco==3.2.3 numpy==1.26.4"
)


def package_versions() -> dict[str, str]:
    """The versions that can change a result.

    Raises:
        SetupError: a package is missing or has an incompatible version.
    """
    versions = installed_versions(_PACKAGES, f"run `{_INSTALL}`")
    if versions["robosuite"] != _ROBOSUITE:
        raise SetupError(
            f"robosuite is {versions['robosuite']}, LIBERO needs {_ROBOSUITE}; run `{_INSTALL}`"
        )
    if tuple(int(part) for part in versions["mujoco"].split(".")[:2]) > _NEWEST_MUJOCO:
        raise SetupError(
            f"mujoco {versions['mujoco']} does not work with robosuite {_ROBOSUITE}; "
            f"run `{_INSTALL}`"
        )
    return versions


def prepare(renderer: Choice | None, scratch: Path) -> None:
    """Sets the environment variables and imports robosuite.

    Args:
        renderer: none if nothing will be rendered, in which case no graphics library is loaded.
        scratch: a writable folder of this process.

    Raises:
        SetupError: the renderer's libraries are missing.
        RuntimeError: robosuite was imported before, with another renderer.
    """
    if "robosuite" in sys.modules:
        if renderer and renderer.name != os.environ.get("MUJOCO_GL"):
            raise RuntimeError(f"robosuite was imported without the renderer `{renderer.name}`")
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LP_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_numba_cache(scratch)))
    renderers.set_variables(renderer)
    try:
        _set_robosuite_macros(renderer is not None)
        import robosuite  # noqa: F401
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        if renderer is None:
            raise
        raise renderers.failed(renderer, error) from error


def renderer_string(renderer: Choice) -> str:
    """OpenGL's renderer string, from a context like those used for rendering.

    Raises:
        SetupError: no context can be made.
    """
    from OpenGL import GL
    from robosuite.utils.binding_utils import GLContext

    try:
        context = GLContext(max_width=64, max_height=64, device_id=-1)
        context.make_current()
        name = GL.glGetString(GL.GL_RENDERER)
        context.free()
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise renderers.failed(renderer, error) from error
    return name.decode() if name else "unknown"


def problem_classes(package: Path, scratch: Path) -> dict[str, type]:
    """Imports LIBERO's environments; its problem classes by lower-case name.

    Args:
        package: its package folder.
        scratch: a writable folder of this process.
    """
    # Without this file the package prompts on standard input at its first import.
    folder = scratch / "libero_config"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "benchmark_root": package,
        "bddl_files": package / "bddl_files",
        "init_states": package / "init_files",
        "datasets": scratch / "datasets",
        "assets": package / "assets",
    }
    lines = [f"{name}: '{path}'\n" for name, path in paths.items()]
    (folder / "config.yaml").write_text("".join(lines))
    os.environ["LIBERO_CONFIG_PATH"] = str(folder)

    with _without_wrappers():
        from libero.libero.envs.bddl_base_domain import TASK_MAPPING
    return TASK_MAPPING


def use_assets(folder: Path) -> None:
    """Makes LIBERO load meshes and scenes from `folder` from now on.

    The package ignores the `assets` of its configuration file and reads this attribute.
    """
    import libero.libero

    libero.libero._assets_path_cache = str(folder)


@contextlib.contextmanager
def _without_wrappers() -> Iterator[None]:
    """Makes LIBERO's environments importable without their wrappers.

    The wrappers are unused here; they import matplotlib and gymnasium, a third of the import time.
    """
    exports = {
        "env_wrapper": ("OffScreenRenderEnv", "SegmentationRenderEnv"),
        "venv": ("SubprocVectorEnv", "DummyVectorEnv"),
    }
    if "libero.libero.envs" in sys.modules:
        yield
        return
    for module_name, names in exports.items():
        module = types.ModuleType(f"libero.libero.envs.{module_name}")
        for name in names:
            setattr(module, name, None)
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module_name in exports:
            del sys.modules[f"libero.libero.envs.{module_name}"]


def _set_robosuite_macros(rendering: bool) -> None:
    """Loads and sets robosuite's macros before robosuite, which reads them at import.

    By default it loads EGL even if nothing is rendered, and opens a log file in a folder that
    all users share.
    """
    package = importlib.util.find_spec("robosuite")
    if package is None or package.submodule_search_locations is None:
        raise ImportError("robosuite is not installed")
    path = Path(package.submodule_search_locations[0]) / "macros.py"
    spec = importlib.util.spec_from_file_location("robosuite.macros", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"`{path}` cannot be loaded")
    macros = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(macros)
    macros.MUJOCO_GPU_RENDERING = rendering
    macros.CONSOLE_LOGGING_LEVEL = "ERROR"
    macros.FILE_LOGGING_LEVEL = None
    sys.modules["robosuite.macros"] = macros


def _numba_cache(scratch: Path) -> Path:
    """The cache folder for compiled functions, shared by later processes."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "udvla-eval" / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return scratch / "numba"
    return folder if os.access(folder, os.W_OK) else scratch / "numba"
