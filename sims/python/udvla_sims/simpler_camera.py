"""SimplerEnv's camera: robot and objects are drawn, everything else is a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import sapien.core as sapien
from numpy.typing import NDArray


class Camera:
    """The camera that is fixed to the robot's base.

    Source: ManiSkill2_real2sim, agents/configs/widowx/defaults.py (pose, lens), envs/
    custom_scenes/base_env.py (the photograph), utils/wrappers/observation.py (bytes).
    """

    def __init__(
        self,
        scene: sapien.Scene,
        lens: dict[str, Any],
        *,
        mount: sapien.Link,
        photograph: Path,
        seen: list[sapien.ActorBase],
    ) -> None:
        """Adds the camera to a scene.

        Args:
            scene: a scene with its bodies.
            lens: the protocol's camera with the pose and planes of a setup.
            mount: the link that carries the camera.
            photograph: what covers everything else.
            seen: the bodies that are drawn.
        """
        self._scene = scene
        pose = sapien.Pose(lens["position"], lens["quaternion"])
        size = (lens["width"], lens["height"])
        self._camera = scene.add_mounted_camera(
            lens["source"], mount, pose, *size, 1.5, lens["near"], lens["far"]
        )
        self._camera.set_focal_lengths(lens["focal_length"], lens["focal_length"])
        self._camera.set_principal_point(*lens["principal_point"])
        self._photograph = _photograph(photograph, size)
        self._seen = np.array([body.id for body in seen], dtype=np.uint32)

    def picture(self) -> NDArray[np.uint8]:
        """A contiguous (height, width, 3) RGB picture of now."""
        self._scene.update_render()
        self._camera.take_picture()
        colours = self._camera.get_float_texture("Color")[..., :3]
        bodies = self._camera.get_uint32_texture("Segmentation")[..., 1]
        seen = np.isin(bodies, self._seen)[..., np.newaxis]
        return np.where(seen, _bytes(colours), self._photograph)


def _photograph(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    if picture is None:
        raise RuntimeError(f"`{path}` is no picture")
    shares = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) / 255, size)
    return _bytes(shares.astype(np.float32))


def _bytes(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours from 0 to 1 as bytes, cut off as the benchmark does."""
    return np.clip(shares * 255, 0, 255).astype(np.uint8)
