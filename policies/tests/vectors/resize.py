"""Writes resize.json: what Pillow's bicubic resize makes of pictures given by a formula.

Run once with Pillow 12 (9 to 12 give the same, 13 differs where the height shrinks much more
than the width): `python resize.py > resize.json`. The pictures are those of
`uniform("resize/<kind>/<height>x<width>", ...)` in `policies/src/golden.rs`.
"""

from __future__ import annotations

import hashlib
import json
import zlib

from PIL import Image

MASK = 2**64 - 1
SIZES = [
    ((84, 84), (80, 80)),
    ((256, 256), (200, 200)),
    ((256, 256), (80, 80)),
    ((480, 640), (200, 200)),
    ((200, 200), (200, 200)),
    ((80, 200), (80, 120)),
    ((200, 80), (120, 80)),
    ((7, 5), (13, 11)),
    ((1, 1), (3, 2)),
    ((300, 21), (10, 40)),
]


def uniform(name: str, count: int) -> list[float]:
    """The numbers in (0, 1) that `golden::uniform` gives for `name`."""
    seed = (zlib.crc32(name.encode()) << 32) & MASK
    series = []
    for i in range(count):
        z = (seed + i + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        series.append(((z >> 11) + 0.5) * 2.0**-53)
    return series


def picture(kind: str, height: int, width: int) -> bytes:
    """RGB bytes: `noise` uses every value, `extremes` only 0 and 255."""
    series = uniform(f"resize/{kind}/{height}x{width}", height * width * 3)
    if kind == "extremes":
        return bytes(255 if u < 0.5 else 0 for u in series)
    return bytes(int(u * 256) for u in series)


def main() -> None:
    """Writes one case for each kind and pair of sizes."""
    cases = []
    for kind in ("noise", "extremes"):
        for (height, width), (to_height, to_width) in SIZES:
            image = Image.frombytes("RGB", (width, height), picture(kind, height, width))
            resized = image.resize((to_width, to_height), Image.BICUBIC).tobytes()
            cases.append(
                {
                    "kind": kind,
                    "from": [height, width],
                    "to": [to_height, to_width],
                    "sha256": hashlib.sha256(resized).hexdigest(),
                    "first": list(resized[:18]),
                }
            )
    print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")


if __name__ == "__main__":
    main()
