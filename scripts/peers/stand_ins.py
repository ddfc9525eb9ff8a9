#!/usr/bin/env python3
"""Makes torch's wheel importable on a processor without NVIDIA's libraries (about 2.7 GB).

    stand_ins.py .libtorch/torch FOLDER

writes a small library for every one that torch's own libraries ask for and that is not there: the
right name, the right versioned symbols, and functions that end the process. On `LD_LIBRARY_PATH`
they satisfy the loader; nothing calls them without a GPU. Needs `readelf` and a C compiler.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

# Parts of the system, and of torch, which brings them itself.
PRESENT = re.compile(r"lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp)\.so|ld-linux|lib(torch|c10|shm)")

HEAD = """
#include <stdio.h>
#include <stdlib.h>
static void fail(const char *name) {
  fprintf(stderr, "%s: only a stand-in for NVIDIA's library\\n", name);
  abort();
}
"""


def readelf(option: str, file: Path) -> str:
    """Output of readelf for a library."""
    words = ["readelf", "--wide", option, str(file)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def missing(libraries: list[Path], folders: list[Path]) -> set[str]:
    """Libraries that are needed and in none of the folders."""
    found = {file.name for folder in folders for file in folder.iterdir()}
    wanted = set()
    for library in libraries:
        wanted |= set(re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("--dynamic", library)))
    return {name for name in wanted if name not in found and not PRESENT.match(name)}


def versions(libraries: list[Path]) -> dict[str, set[str]]:
    """Required symbol versions by library name."""
    wanted = defaultdict(set)
    for library in libraries:
        table = readelf("--version-info", library)
        for name, rest in re.findall(r" File: (\S+) +Cnt: \d+\n((?:.* Name: .*\n)*)", table):
            wanted[name] |= set(re.findall(r" Name: (\S+)", rest))
    return wanted


def symbols(libraries: list[Path]) -> dict[str, set[str]]:
    """Undefined functions by symbol version; "" if unversioned."""
    wanted, defined = defaultdict(set), set()
    for library in libraries:
        table = readelf("--dyn-syms", library)
        for symbol, version in re.findall(r" GLOBAL DEFAULT +UND (\w+)(?:@([\w.]+))?", table):
            wanted[version].add(symbol)
        defined |= set(re.findall(r" DEFAULT +\d+ (\w+)", table))
    # Unversioned functions: NVIDIA's are recognized by their names.
    wanted[""] = {
        name for name in wanted[""] - defined if re.match("cu[A-Z]|cuf|cus|nccl|nv", name)
    }
    return wanted


def build(name: str, functions: dict[str, set[str]], folder: Path) -> None:
    """Compiles one library with these functions, by their symbol version."""
    with tempfile.TemporaryDirectory() as temporary:
        source, script = Path(temporary) / "empty.c", Path(temporary) / "versions"
        every = sorted({name for names in functions.values() for name in names})
        lines = [f'void {function}(void) {{ fail("{function}"); }}' for function in every]
        source.write_text(HEAD + "\n".join(lines) + "\n")
        nodes = [
            f"{version} {{ {' '.join(f'{function};' for function in sorted(names))} }};\n"
            for version, names in functions.items()
            if version
        ]
        script.write_text("".join(nodes))
        words = ["cc", "-w", "-shared", "-fPIC", "-fno-builtin", "-o", folder / name, source]
        words += [f"-Wl,-soname,{name}"] + [f"-Wl,--version-script,{script}"] * bool(nodes)
        subprocess.run([str(word) for word in words], check=True)


def main() -> int:
    """Builds what is missing; prints how many."""
    torch, folder = (Path(word).resolve() for word in sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    libraries = sorted((torch / "lib").glob("*.so*"))
    there = [torch / "lib", *(torch.parent / "nvidia").glob("*/lib")]
    functions, asked = symbols(libraries), versions(libraries)
    names = sorted(missing(libraries, there))
    for name in names:
        # The library of an unversioned function is unknown.
        own = asked[name] or {""}
        build(name, {version: functions[version] for version in own}, folder)
    print(f"{len(names)} stand-ins for NVIDIA's libraries in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
