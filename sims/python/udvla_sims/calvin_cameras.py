"""CALVIN's cameras, and which renderer draws their pictures.

EGL is tried in a child process first: where it cannot start, pybullet's plug-in ends the whole
process without an exception. A software EGL (Mesa's llvmpipe) is refused: it draws with a depth
buffer of 16 bits, so that edges are jagged; TinyRenderer draws better pictures in less time.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import calvin_bullet
from .adapter import SetupError
from .calvin_bullet import Bullet
from .calvin_scene import Scene

_ROOM = {
    "cameraEyePosition": (2.871459009488717, -2.166602199425597, 2.555159848480571),
    "cameraTargetPosition": (-0.026242351159453392, -0.0302329882979393, 0.3920000493526459),
    "cameraUpVector": (0.4041403970338857, 0.22629790978217404, 0.8862616969685161),
}
"""The camera that stands in the room: CALVIN's static camera."""
RENDERERS = ("auto", "egl", "egl-software", "tiny")
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
    """What draws the pictures."""

    name: str
    """For the run's setting."""
    plugin: str | None
    """Path of the EGL plug-in; none for TinyRenderer."""


class Cameras:
    """The protocol's cameras in a scene."""

    def __init__(self, scene: Scene, cameras: list[dict]) -> None:
        """Prepares what does not change between pictures.

        Args:
            scene: the scene.
            cameras: the protocol's `cameras`; their `mount` is `room` or `hand`.
        """
        self._scene = scene
        self._cameras = cameras
        self._room = scene.bullet.computeViewMatrix(**_ROOM)

    def pictures(self) -> list[NDArray[np.uint8]]:
        """A contiguous (height, width, 3) RGB picture per camera; changes nothing."""
        return [self.picture(index) for index in range(len(self._cameras))]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One camera's picture."""
        camera, bullet = self._cameras[index], self._scene.bullet
        view = self._room if camera["mount"] == "room" else self._from_hand()
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
        shape = (camera["height"], camera["width"], 4)
        picture = np.asarray(pixels, dtype=np.uint8).reshape(shape)
        return np.ascontiguousarray(picture[:, :, :3])

    def _from_hand(self) -> tuple[float, ...]:
        bullet, robot = self._scene.bullet, self._scene.robot
        place, turn = bullet.getLinkState(robot.body, robot.camera_link)[:2]
        axes = np.array(bullet.getMatrixFromQuaternion(turn)).reshape(3, 3)
        return bullet.computeViewMatrix(place, place + axes[:, 1], -axes[:, 2])


def choose(wanted: str | None, version: str) -> Renderer:
    """The renderer that was asked for, if it works here.

    Args:
        wanted: one of `RENDERERS`; `auto` (also: nothing) takes EGL on a graphics card, else
            TinyRenderer.
        version: pybullet's version.

    Raises:
        SetupError: it does not work here.
    """
    wanted = wanted or "auto"
    tiny = Renderer(f"TinyRenderer of pybullet {version}", None)
    if wanted not in RENDERERS:
        raise SetupError(f"the renderer `{wanted}` is not one of `auto`, `egl`, `tiny`")
    if wanted == "tiny":
        return tiny
    found, problem = probe()
    software = found is not None and any(word in found.lower() for word in _SOFTWARE)
    if found is not None and (not software or wanted == "egl-software"):
        return Renderer(f"EGL on {found}", _plugin())
    if wanted == "auto":
        return tiny
    if software:
        problem = (
            f"EGL is software here ({found}), whose coarse depth spoils the pictures "
            "(`egl-software` takes it all the same)"
        )
    raise SetupError(f"the renderer `{wanted}` cannot be used: {problem}; use `--renderer tiny`")


def probe() -> tuple[str | None, str]:
    """What EGL calls itself, asked in a process of its own, or none and why not."""
    plugin = _plugin()
    if plugin is None:
        return None, "pybullet's plug-in `eglRenderer` is not installed"
    words = [sys.executable, "-c", _PROBE, plugin]
    try:
        answer = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "its plug-in hangs"
    text = (answer.stdout + answer.stderr).decode(errors="replace")
    names = [line.partition("=")[2] for line in text.splitlines() if line[:12] == "GL_RENDERER="]
    if answer.returncode == 0 and "probe done" in text and names:
        return names[-1].strip(), ""
    last = [line.strip() for line in text.splitlines() if line.strip()][-1:]
    said = f" and said `{last[0]}`" if last else ""
    return None, f"its plug-in ended the process with code {answer.returncode}{said}"


def connect(renderer: Renderer | None) -> Bullet:
    """A simulation that draws with `renderer`.

    EGL works for one simulation of a process only, on the thread that made it.

    Raises:
        SetupError: the plug-in refuses.
    """
    if renderer is None or renderer.plugin is None:
        return calvin_bullet.connect()
    bullet = calvin_bullet.connect("--width=200 --height=200")
    if bullet.loadPlugin(renderer.plugin, "_eglRendererPlugin") < 0:
        raise SetupError("pybullet's EGL plug-in does not load a second time in one process")
    return bullet


def _plugin() -> str | None:
    found = importlib.util.find_spec("eglRenderer")
    return None if found is None else found.origin
