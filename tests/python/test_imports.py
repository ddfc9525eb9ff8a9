"""Imports of the adapters go one way: no circles, and no benchmark imports another."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "sims" / "python" / "udvla_sims"
LAYERS = {
    "": ["toy video machine displays", "adapter"],
    "calvin": [
        "adapter",
        "upstream expert cameras",
        "scene",
        "robot table rules",
        "bullet files sequences",
    ],
    "libero": [
        "adapter",
        "expert simulation assets runtime",
        "arm grasps renderers stand_ins substeps tasks",
        "geometry stand_in_objects stand_in_tableware",
        "shapes",
    ],
    "simpler": [
        "adapter",
        "scene upstream tables expert",
        "camera robot rules devices files shaders",
    ],
}
"""Modules of each package by layer, upper layers first; a module imports only lower layers."""
SHARED = {("", "adapter"), ("", "displays")}
"""What every package may import."""


def imported(file: Path) -> set[tuple[str, str]]:
    """(package, module) of every import of our own, wherever in the file; `toy` is ("", "toy")."""
    package = file.parent.relative_to(PACKAGE).parts
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = list(package)[: len(package) + 1 - node.level]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("udvla_sims"):
            base = []
        else:
            continue
        module = (node.module or "").removeprefix("udvla_sims").strip(".")
        path = [*base, *module.split(".")] if module else base
        modules = [path] if module else [[*path, alias.name] for alias in node.names]
        names |= {("/".join(part[:-1]), part[-1]) for part in modules}
    return names


def test_every_module_has_a_layer_and_imports_only_lower_ones():
    layer = {
        (package, module): index
        for package, layers in LAYERS.items()
        for index, modules in enumerate(layers)
        for module in modules.split()
    }
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"]
    keys = {file: ("/".join(file.parent.relative_to(PACKAGE).parts), file.stem) for file in files}
    assert set(keys.values()) == set(layer)
    for file, (package, module) in keys.items():
        for other in imported(file):
            lower = layer[other] > layer[package, module] if other[0] == package else False
            assert lower or other in SHARED, f"{package}/{module} imports {other}"
