"""The process in which LIBERO runs: environment variables, imports, renderer, versions.

All of it has to happen before or during the first import of robosuite.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from ..adapter import SetupError, installed_versions

_RENDERERS = ("osmesa", "egl")
_PACKAGES = {"hf_libero": "hf-libero", "robosuite": "robosuite", "mujoco": "mujoco"}
_ROBOSUITE = "1.4.0"
_NEWEST_MUJOCO = (3, 8)
_INSTALL = (
    "pip install --no-deps hf-libero==0.1.4 robosuite==1.4.0 bddl==1.0.1 && "
    "pip install mujoco==3.2.3 numpy==1.26.4"
)
_SYSTEM_PACKAGES = {
    "osmesa": "libosmesa6",
    "egl": "libegl1 libgl1-mesa-dri (or the NVIDIA driver's EGL library)",
}


def package_versions() -> dict[str, str]:
    """The versions that can change a result.

    Raises:
        SetupError: a package is missing or has an incompatible version.
    """
    versions = installed_versions({**_PACKAGES, "numpy": "numpy"}, f"run `{_INSTALL}`")
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


def choose_renderer(name: str | None) -> str:
    """`osmesa` or `egl`.

    Args:
        name: one of the two, or `auto` (the default), which takes EGL where an NVIDIA card and
            its EGL library are present.

    Raises:
        SetupError: another name.
    """
    if name in _RENDERERS:
        return str(name)
    if name not in (None, "", "auto"):
        raise SetupError(f"the renderer `{name}` is not one of `auto`, `osmesa`, `egl`")
    if glob.glob("/dev/nvidia[0-9]*") and _loads("libEGL_nvidia.so.0"):
        return "egl"
    return "osmesa"


def prepare(renderer: str | None, scratch: Path) -> None:
    """Sets the environment variables and imports robosuite.

    Args:
        renderer: `osmesa` or `egl`; none if nothing will be rendered, in which case no graphics
            library is loaded.
        scratch: a writable folder of this process.

    Raises:
        SetupError: the renderer's libraries are missing.
        RuntimeError: robosuite was imported before, with another renderer.
    """
    if "robosuite" in sys.modules:
        if renderer not in (None, os.environ.get("MUJOCO_GL")):
            raise RuntimeError(f"robosuite was imported without the renderer `{renderer}`")
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LP_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_numba_cache(scratch)))
    os.environ["MUJOCO_GL"] = renderer or "disabled"
    if renderer is not None:
        os.environ["PYOPENGL_PLATFORM"] = renderer
    if renderer == "egl":
        _choose_egl_device()
    try:
        _set_robosuite_macros(renderer is not None)
        import robosuite  # noqa: F401
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        if renderer is None:
            raise
        raise _renderer_error(renderer, error) from error


def renderer_string(renderer: str) -> str:
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
        raise _renderer_error(renderer, error) from error
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


def _choose_egl_device() -> None:
    # Robosuite 1.4.0 refuses an EGL device that is not in CUDA_VISIBLE_DEVICES.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if visible.isdigit() or not visible:
        os.environ.setdefault("MUJOCO_EGL_DEVICE_ID", visible or "0")


def _numba_cache(scratch: Path) -> Path:
    """The cache folder for compiled functions, shared by later processes."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "udvla-eval" / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return scratch / "numba"
    return folder if os.access(folder, os.W_OK) else scratch / "numba"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _renderer_error(renderer: str, error: Exception) -> SetupError:
    return SetupError(
        f"the renderer `{renderer}` cannot be used ({type(error).__name__}: {error}); "
        f"run `apt-get install {_SYSTEM_PACKAGES[renderer]}`"
    )
