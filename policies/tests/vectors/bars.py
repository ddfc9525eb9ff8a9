"""Writes bars.json: what openpi's client makes of images given by a formula.

Run once with `openpi-client==0.1.2` and Pillow 13: `python bars.py > bars.json`. The images are
those of `resize.py`.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from openpi_client import image_tools
from resize import picture

SIZES = [
    ((256, 256), (224, 224)),
    ((200, 200), (224, 224)),
    ((84, 84), (224, 224)),
    ((480, 640), (224, 224)),
    ((84, 84), (200, 200)),
    ((80, 200), (60, 60)),
]

cases = []
for size, (to_height, to_width) in SIZES:
    image = np.frombuffer(picture("noise", *size), np.uint8).reshape(*size, 3)
    resized = image_tools.resize_with_pad(image, to_height, to_width)
    digest = hashlib.sha256(resized.tobytes()).hexdigest()
    cases.append({"from": size, "to": [to_height, to_width], "sha256": digest})
print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")
