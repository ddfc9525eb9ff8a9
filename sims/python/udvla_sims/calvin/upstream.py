"""CALVIN's own environment (`calvin_env`) behind the adapter, for comparison.

Scene, steps, images, states and success are all `calvin_env`'s; it renders at every step, as its
own loop does. The classes here only give its objects the names that adapter and expert use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapter import SetupError
from .bullet import Bullet
from .scene import SceneView

Array = NDArray[np.float64]

_PACKAGES = ("hydra-core", "gym", "scipy", "opencv-python-headless", "gitpython")


def find_upstream(root: Path) -> dict[str, str]:
    """Makes `calvin_env` importable and returns its versions.

    Args:
        root: a checkout of calvin or calvin_env; used where no `calvin_env` is installed.

    Returns:
        For the run's setting: the commit, and versions of its dependencies.

    Raises:
        SetupError: it is missing or cannot be imported.
    """
    if importlib.util.find_spec("calvin_env") is None:
        folders = (root / "calvin_env", root)
        folder = next((f for f in folders if (f / "calvin_env" / "__init__.py").is_file()), None)
        if folder is None:
            raise SetupError(
                f"`calvin_env` is neither installed nor in `{root}`; pass a checkout of calvin, or "
                "use `--adapter slim`"
            )
        sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module("calvin_env")
        importlib.import_module("calvin_env.envs.play_table_env")
        from calvin_env.utils.utils import get_git_commit_hash
    except Exception as error:
        raise SetupError(
            f"`calvin_env` cannot be imported ({type(error).__name__}: {error}); install "
            f"{', '.join(_PACKAGES)} beside pybullet and pass that Python as `--python`"
        ) from error
    commit = get_git_commit_hash(Path(package.__file__))
    return {
        "adapter": f"calvin_env {commit}",
        "gym": importlib.metadata.version("gym"),
        "scipy": importlib.metadata.version("scipy"),
    }


class UpstreamScene(SceneView):
    """`calvin_env`'s environment with the interface of `scene.Scene`."""

    def __init__(self, draws: bool, egl: bool) -> None:
        """Builds the environment from its own configuration.

        Args:
            draws: whether images are rendered (at every step).
            egl: whether EGL renders them, else TinyRenderer.
        """
        self._draws, self._egl = draws, egl
        self._env: Any = None
        self._build()

    def reset(self, robot: Array, scene: Array, mode: str) -> None:
        """Sets a state, as `Scene.reset`; `isolated` builds a new environment first."""
        if mode == "isolated" and self._used:
            self.close()
            self._build()
        self._used = True
        self._observation = self._env.reset(robot_obs=robot, scene_obs=scene)

    def step(self, action: NDArray[np.float32]) -> None:
        """Executes one control step."""
        self._observation, _, _, self._info = self._env.step(action)

    def robot_state(self) -> Array:
        """Its `robot_obs`, [15]."""
        return np.asarray(self._env.get_state_obs()["robot_obs"], dtype=np.float64)

    def scene_state(self) -> Array:
        """Its `scene_obs`, [24]."""
        return np.asarray(self._env.get_state_obs()["scene_obs"], dtype=np.float64)

    def image(self, name: str) -> NDArray[np.uint8]:
        """The image of its camera `name` after the last step, [height, width, 3] RGB."""
        return np.ascontiguousarray(self._observation["rgb_obs"][f"rgb_{name}"])

    def begin(self, subtask: str) -> None:
        """Starts a sub-task from the current state."""
        self._subtask, self._start = subtask, self._env.get_info()

    def solved(self) -> bool:
        """Whether its own task oracle reports the sub-task as solved."""
        achieved = self._oracle.get_task_info_for_set(self._start, self._info, {self._subtask})
        return len(achieved) > 0

    def close(self) -> None:
        """Ends the simulation."""
        self._env.close()
        # Its destructor closes again, which pybullet refuses.
        self._env.ownsPhysicsClient = False

    def _build(self) -> None:
        import hydra
        from calvin_env import __file__ as package

        folder = Path(package).resolve().parents[1] / "conf"
        cameras = "static_and_gripper" if self._draws else "no_cameras"
        with hydra.initialize_config_dir(str(folder), version_base=None):
            # Its configuration asks for colored logs, which need another package.
            logs = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
            overrides = [f"cameras={cameras}", "scene=calvin_scene_D", *logs]
            config = hydra.compose("config_data_collection", overrides=overrides)
        self._env = hydra.utils.instantiate(
            config.env, show_gui=False, use_vr=False, use_egl=self._egl, use_scene_info=True
        )
        if self._env.cid != 0:
            # It makes the robot's pedestal in the process's first simulation, whichever its own is.
            raise RuntimeError("`calvin_env` must be the first simulation of the process")
        self._oracle = hydra.utils.instantiate(config.tasks)
        self._used = False
        self.bullet = Bullet(self._env.cid)
        self.robot = _Robot(self._env.robot)
        self.table = _Table(self._env.scene)
        self.blocks = {block.name: block.uid for block in self._env.scene.movable_objects}


class UpstreamCameras:
    """Its cameras with the interface of `cameras.Cameras`."""

    def __init__(self, scene: UpstreamScene, cameras: list[dict]) -> None:
        """Takes the environment and the protocol's `cameras`."""
        self._scene, self._names = scene, [camera["name"] for camera in cameras]

    def images(self) -> list[NDArray[np.uint8]]:
        """One image per camera after the last step."""
        return [self._scene.image(name) for name in self._names]

    def image(self, index: int) -> NDArray[np.uint8]:
        """One camera's image after the last step."""
        return self._scene.image(self._names[index])


class _Robot:
    """`calvin_env`'s robot with the interface of `robot.Robot`."""

    def __init__(self, robot: Any) -> None:  # noqa: ANN401
        self._robot = robot
        self.body: int = robot.robot_uid

    @property
    def gripper(self) -> float:
        return float(self._robot.gripper_action)

    @property
    def target_position(self) -> Array:
        return self._robot.target_pos

    @property
    def target_angles(self) -> Array:
        return self._robot.target_orn

    def tool(self) -> tuple[Array, Array]:
        state = self.state()
        return state[:3], state[3:6]

    def state(self) -> Array:
        return self._robot.get_observation()[0]


class _Table:
    """`calvin_env`'s table with the interface of `table.Table`."""

    def __init__(self, scene: Any) -> None:  # noqa: ANN401
        self._scene = scene
        (table,) = scene.fixed_objects
        self.body: int = table.uid

    def state(self) -> list[float]:
        return list(self._scene.get_obs()[:6])
