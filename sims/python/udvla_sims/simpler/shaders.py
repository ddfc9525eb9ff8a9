"""SAPIEN's shaders without a table that it computes in every process and multiplies by zero.

The light of an environment map that a surface reflects is the map's color times a factor from a
table of 512 x 512 integrals. SAPIEN computes the table for the first image of a process if a shader
names it. On lavapipe that is most of a worker's start. SimplerEnv sets no environment map and
SAPIEN's default is black, so the product is zero with any factor; these shaders use the factor 0.

SAPIEN's files are not part of this package: the installed ones are copied and changed.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path

PACK = "ibl"
"""SAPIEN's folder of shaders that SimplerEnv renders with."""
_TABLE = "samplerBRDFLUT"
_DECLARED = re.compile(rf"layout\s*\([^()]*\)\s*uniform\s+sampler2D\s+{_TABLE}\s*;")
_READ = re.compile(rf"texture\s*\(\s*{_TABLE}\s*,\s*vec2\s*\([^()]*\)\s*\)\.xy")


def without_table(scratch: Path) -> Path | None:
    """A copy of the shaders that does not name the table, for sapien's `camera_shader_dir`.

    Args:
        scratch: a writable folder of this process; the copy is needed as long as it renders.

    Returns:
        None if SAPIEN's files are not as expected.
    """
    package = importlib.util.find_spec("sapien")
    if package is None or not package.submodule_search_locations:
        return None
    source = Path(package.submodule_search_locations[0], "vulkan_shader")
    copy = Path(tempfile.mkdtemp(prefix="shaders-", dir=scratch))
    changed = 0
    for folder in (PACK, "common"):  # The former includes files of the latter.
        if not (source / folder).is_dir():
            return None
        shutil.copytree(source / folder, copy / folder)
    for path in sorted((copy / PACK).iterdir()):
        text = path.read_text()
        if _TABLE not in text:
            continue
        text, declared = _DECLARED.subn("", text)
        text, read = _READ.subn("vec2(0)", text)
        if declared != 1 or read != 1 or _TABLE in text:
            return None
        path.write_text(text)
        changed += 1
    return copy / PACK if changed else None
