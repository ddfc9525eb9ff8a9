"""The same tasks on the benchmark's own code: an importable `mani_skill2_real2sim`."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import numpy as np
import sapien.core as sapien
from numpy.typing import NDArray

from ..adapter import SetupError
from .files import CLONE, Checkout
from .rules import Judgement

PACKAGE = "mani_skill2_real2sim"


class World:
    """One simulated task; see `adapter.World`. Needs a Vulkan device even without rendering."""

    def __init__(self, protocol: dict, files: Checkout, shaders: str | None) -> None:
        """Imports the benchmark's code.

        Args:
            protocol: the protocol.
            files: the benchmark's files.
            shaders: not used; the benchmark chooses its own.

        Raises:
            SetupError: the code cannot be imported.
        """
        self._camera = protocol["environment"]["cameras"][0]["source"]
        self._task = self._env = None
        if (files.root / PACKAGE / "__init__.py").is_file() and str(files.root) not in sys.path:
            sys.path.insert(0, str(files.root))
        os.environ["MS2_REAL2SIM_ASSET_DIR"] = str(files.data)
        loaded = getattr(sys.modules.get(PACKAGE), "ASSET_DIR", files.data)
        if (loaded / "custom").resolve() != (files.data / "custom").resolve():
            raise SetupError(f"`{PACKAGE}` already uses `{loaded}` in this process")
        try:
            self._gym = importlib.import_module("gymnasium")
            importlib.import_module(f"{PACKAGE}.envs")
        except ImportError as error:
            raise SetupError(
                f"`{PACKAGE}` cannot be imported ({error}): pass `--simpler-root` of a checkout "
                f"with the code (`{CLONE}`), or use `--adapter slim`, which needs none"
            ) from error

    def reset(self, task: dict, trial: int) -> None:
        """Builds the scene of an episode and lets its objects settle."""
        if self._task != task["upstream"]:
            self.close()
            made = self._gym.make(task["upstream"], obs_mode="image", prepackaged_config=True)
            self._task, self._env = task["upstream"], made.unwrapped
        # Images are enabled only in `image`.
        self._env._obs_mode = "none"
        options = {"obj_init_options": {"episode_id": trial}, "reconfigure": True}
        self._env.reset(options=options)
        for name in [name for name in self._env._cameras if name != self._camera]:
            del self._env._cameras[name]

    def step(self, action: NDArray[np.float32]) -> Judgement:
        """Executes one control step."""
        info = self._env.step(action)[-1]
        names = ("success", "is_src_obj_grasped", "moved_correct_obj", "moved_wrong_obj")
        return Judgement(*(bool(info[name]) for name in names))

    def solved(self) -> bool | None:
        """None: its `evaluate` counts grasps, so asking once more would change its statistics."""
        return None

    def image(self) -> NDArray[np.uint8]:
        """The camera's current image; does not change the state."""
        self._env._obs_mode = "image"
        colors = self._env.get_obs()["image"][self._camera]["Color"][..., :3]
        self._env._obs_mode = "none"
        return np.ascontiguousarray(np.clip(colors * 255, 0, 255).astype(np.uint8))

    def close(self) -> None:
        """Frees the environment."""
        if self._env is not None:
            self._env.close()
        self._task = self._env = None

    @property
    def statistics(self) -> dict[str, bool]:
        """The benchmark's own `episode_stats`."""
        return dict(self._env.episode_stats)

    @property
    def source(self) -> sapien.Actor:
        """The object to move."""
        return self._env.episode_source_obj

    @property
    def target(self) -> sapien.Actor:
        """The object to move it to."""
        return self._env.episode_target_obj

    @property
    def body(self) -> sapien.Articulation:
        """The robot."""
        return self._env.agent.robot

    @property
    def tool(self) -> sapien.Link:
        """The link between the fingers."""
        return self._env.tcp

    @property
    def tool_target(self) -> sapien.Pose:
        """The controller's target pose of the tool in the base's frame."""
        arm: Any = self._env.agent.controller.controllers["arm"]
        return arm._target_pose
