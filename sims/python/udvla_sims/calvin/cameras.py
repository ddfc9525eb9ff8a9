"""CALVIN's cameras, and the choice of the renderer.

EGL is tried in a child process first: where it cannot start, pybullet's plug-in ends the whole
process without an exception. A software EGL (Mesa's llvmpipe) is refused: its 16-bit depth
buffer makes edges jagged; TinyRenderer renders better images in less time.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..adapter import SetupError
from ..displays import Display, display_of, egl_displays
from .bullet import Bullet
from .scene import Scene

RENDERERS = ("auto", "egl", "egl-software", "tiny")
# CALVIN's static camera.
_STATIC_CAMERA = {
    "cameraEyePosition": (2.871459009488717, -2.166602199425597, 2.555159848480571),
    "cameraTargetPosition": (-0.026242351159453392, -0.0302329882979393, 0.3920000493526459),
    "cameraUpVector": (0.4041403970338857, 0.22629790978217404, 0.8862616969685161),
}
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")
_PROBE = """
import pybullet, sys
pybullet.connect(pybullet.DIRECT, options="--width=64 --height=64")
assert pybullet.loadPlugin(sys.argv[1], "_eglRendererPlugin") >= 0
pybullet.getCameraImage(64, 64)
pybullet.disconnect()
print("probe done")
"""


class Renderer(NamedTuple):
    """A renderer of pybullet."""

    name: str
    """For the run's setting."""
    plugin: str | None
    """Path of the EGL plug-in; none for TinyRenderer."""


class Cameras:
    """The protocol's cameras in a scene."""

    def __init__(self, scene: Scene, cameras: list[dict]) -> None:
        """Prepares what is constant between images.

        Args:
            scene: the scene.
            cameras: the protocol's `cameras`; their `mount` is `room` or `hand`.
        """
        self._scene = scene
        self._cameras = cameras
        self._static_view = scene.bullet.computeViewMatrix(**_STATIC_CAMERA)

    def images(self) -> list[NDArray[np.uint8]]:
        """A contiguous [height, width, 3] RGB image per camera; does not change the state."""
        return [self.image(index) for index in range(len(self._cameras))]

    def image(self, index: int) -> NDArray[np.uint8]:
        """The image of one camera, [height, width, 3] RGB."""
        camera, bullet = self._cameras[index], self._scene.bullet
        view = self._static_view if camera["mount"] == "room" else self._hand_view()
        projection = bullet.computeProjectionMatrixFOV(
            fov=camera["fov"], aspect=1, nearVal=camera["near"], farVal=camera["far"]
        )
        pixels = bullet.getCameraImage(
            width=camera["width"],
            height=camera["height"],
            viewMatrix=view,
            projectionMatrix=projection,
            flags=bullet.ER_NO_SEGMENTATION_MASK,
        )[2]
        image = np.asarray(pixels, dtype=np.uint8).reshape(camera["height"], camera["width"], 4)
        return np.ascontiguousarray(image[:, :, :3])

    def _hand_view(self) -> tuple[float, ...]:
        bullet, robot = self._scene.bullet, self._scene.robot
        position, orientation = bullet.getLinkState(robot.body, robot.camera_link)[:2]
        axes = np.array(bullet.getMatrixFromQuaternion(orientation)).reshape(3, 3)
        return bullet.computeViewMatrix(position, position + axes[:, 1], -axes[:, 2])


def choose_renderer(
    name: str | None,
    version: str,
    card: str = "",
    displays: Callable[[], list[Display]] = egl_displays,
) -> Renderer:
    """The renderer of that name, if it works here.

    Args:
        name: one of `RENDERERS`; `auto` (the default) takes EGL on a graphics card, else
            TinyRenderer.
        version: pybullet's version.
        card: the bus address of the card that must be taken. Its EGL number is put into the
            variable that pybullet's plug-in reads.
        displays: the probe of EGL.

    Raises:
        SetupError: it does not work here.
    """
    name = name or "auto"
    tiny = Renderer(f"TinyRenderer of pybullet {version}", None)
    if name not in RENDERERS:
        raise SetupError(f"the renderer `{name}` is not one of `auto`, `egl`, `tiny`")
    if name == "tiny" and card:
        raise SetupError("`--render-device` chooses a card, and `--renderer tiny` uses none")
    if name == "tiny":
        return tiny
    if card:
        os.environ["EGL_VISIBLE_DEVICES"] = str(display_of(card, displays()).index)
    device, problem = probe_egl()
    software = device is not None and any(word in device.lower() for word in _SOFTWARE)
    if device is not None and (not software or name == "egl-software"):
        return Renderer(f"EGL on {device}", _plugin())
    if name == "auto" and not card:
        return tiny
    if software:
        problem = (
            f"EGL is software here ({device}), whose coarse depth buffer degrades the images "
            "(`egl-software` uses it anyway)"
        )
    raise SetupError(f"the renderer `{name}` cannot be used: {problem}; use `--renderer tiny`")


def probe_egl() -> tuple[str | None, str]:
    """OpenGL's name of the EGL device, or none and why EGL does not work."""
    plugin = _plugin()
    if plugin is None:
        return None, "pybullet's plug-in `eglRenderer` is not installed"
    command = [sys.executable, "-I", "-c", _PROBE, plugin]
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None, "its plug-in hangs"
    text = (child.stdout + child.stderr).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    devices = [line.partition("=")[2] for line in lines if line.startswith("GL_RENDERER=")]
    if child.returncode == 0 and "probe done" in text and devices:
        return devices[-1].strip(), ""
    output = f" and said `{lines[-1]}`" if lines else ""
    return None, f"its plug-in ended the process with code {child.returncode}{output}"


def connect(renderer: Renderer | None) -> Bullet:
    """A simulation that renders with `renderer`.

    EGL works for one simulation per process, on the thread that made it.

    Raises:
        SetupError: the plug-in does not load.
    """
    if renderer is None or renderer.plugin is None:
        return Bullet.connect()
    bullet = Bullet.connect("--width=200 --height=200")
    if bullet.loadPlugin(renderer.plugin, "_eglRendererPlugin") < 0:
        raise SetupError("pybullet's EGL plug-in does not load a second time in one process")
    return bullet


def _plugin() -> str | None:
    spec = importlib.util.find_spec("eglRenderer")
    return None if spec is None else spec.origin
