"""What of this machine may move a result in its last bits: numeric kernels and the C library.

Libraries choose their kernels by processor. The worker pins those that it can (the harness sets
the variables); this module reports which ones really run.
"""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from pathlib import Path

_BLAS = ("openblas", "mkl_rt", "libblis", "accelerate")
"""Parts of the file names of libraries with BLAS."""
_SYMBOLS = (
    "openblas_get_{}64_",
    "openblas_get_{}",
    "scipy_openblas_get_{}64_",
    "scipy_openblas_get_{}",
)
"""OpenBLAS's functions; wheels of numpy and scipy rename them."""


def facts() -> dict[str, str]:
    """Facts of the loaded libraries; names with `machine.` are recorded and never compared."""
    found = {"machine.libc": " ".join(platform.libc_ver()) or "unknown"}
    if blas := blas_kernels():
        found["blas"] = ", ".join(blas)
    if kernels := numpy_kernels():
        found["numpy_kernels"] = kernels
    return found


def blas_kernels(maps: str = "/proc/self/maps") -> list[str]:
    """Numpy's BLAS with version and kernel, for example `OpenBLAS 0.3.23 Haswell`.

    Other packages bring libraries of their own, of which some are loaded only where something is
    rendered; they choose kernels by the same rules. Without one of numpy's own (a system's BLAS)
    every loaded BLAS is named.

    Args:
        maps: the list of this process's mapped files.
    """
    lines = Path(maps).read_text().splitlines() if Path(maps).exists() else []
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count("/")}
    blas = [path for path in paths if any(part in Path(path).name.lower() for part in _BLAS)]
    numpys = [path for path in blas if "numpy" in Path(path).parent.name]
    return sorted({_described(path) for path in numpys or blas})


def numpy_kernels() -> str:
    """The instruction sets that numpy's own loops use beyond its baseline, in numpy's order."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return ""
    # Numpy 1.26 has a `_core` as well, for pickles of numpy 2, in which it may be missing.
    cores = (getattr(numpy, name) for name in ("_core", "core") if hasattr(numpy, name))
    module = next(core._multiarray_umath for core in cores if hasattr(core, "_multiarray_umath"))
    features = module.__cpu_features__
    names = [name for name in module.__cpu_dispatch__ if features.get(name)]
    return " ".join(names) or "baseline"


def _described(path: str) -> str:
    """Version and kernel of a BLAS; the file's name where it does not tell them."""
    name = Path(path).name
    if "openblas" not in name:
        return name
    try:
        library = ctypes.CDLL(path)
    except OSError:
        # A file that was replaced while it is in use.
        return name
    # Old versions do not tell theirs; wheels have it in the file's name.
    texts = (_answer(library, "config"), name)
    found = (re.search(r"\d+\.\d+(\.[a-z0-9]+)*(?=\.so| |$)", text) for text in texts)
    version = next((match[0] for match in found if match), name)
    return f"OpenBLAS {version} {_answer(library, 'corename') or 'of an unknown kernel'}"


def _answer(library: ctypes.CDLL, question: str) -> str:
    for symbol in _SYMBOLS:
        function = getattr(library, symbol.format(question), None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return (function() or b"").decode(errors="replace").strip()
    return ""
