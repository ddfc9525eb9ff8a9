"""SimplerEnv's camera: robot and objects are rendered over a photograph."""

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
        foreground: list[sapien.ActorBase],
    ) -> None:
        """Adds the camera to a scene.

        Args:
            scene: a scene with its bodies.
            lens: the protocol's camera with the pose and planes of a setup.
            mount: the link that carries the camera.
            photograph: the background image.
            foreground: the bodies that are rendered.
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
        self._foreground = np.array([body.id for body in foreground], dtype=np.uint32)

    def image(self) -> NDArray[np.uint8]:
        """The current image, contiguous, [height, width, 3] RGB."""
        self._scene.update_render()
        self._camera.take_picture()
        colors = self._camera.get_float_texture("Color")[..., :3]
        bodies = self._camera.get_uint32_texture("Segmentation")[..., 1]
        seen = np.isin(bodies, self._foreground)[..., np.newaxis]
        return np.where(seen, _bytes(colors), self._photograph)


def _photograph(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise RuntimeError(f"`{path}` is not an image")
    colors = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB) / 255, size)
    return _bytes(colors.astype(np.float32))


def _bytes(colors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colors in [0, 1] as bytes, truncated as in the benchmark."""
    return np.clip(colors * 255, 0, 255).astype(np.uint8)
