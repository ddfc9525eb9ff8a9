"""CALVIN's own environment behind the adapter: `calvin_env` where it can be imported.

It exists to be compared with. The scene, its steps, pictures, states and the answer whether a
sub-task is solved are all `calvin_env`'s; it draws at every step, as its own loop does. The
classes here only give its objects the names that the adapter and the expert use.
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

from .adapter import SetupError
from .calvin_bullet import Bullet
from .calvin_scene import SceneView

Array = NDArray[np.float64]

_PACKAGES = ("hydra-core", "gym", "scipy", "opencv-python-headless", "gitpython")


def find(root: Path) -> dict[str, str]:
    """Makes `calvin_env` importable and says which one it is.

    Args:
        root: a checkout of calvin or calvin_env; only looked at where no `calvin_env` is installed.

    Returns:
        For the run's setting: the commit, and versions of what it needs.

    Raises:
        SetupError: it is not there, or cannot be imported.
    """
    if importlib.util.find_spec("calvin_env") is None:
        places = (root / "calvin_env", root)
        folder = next((p for p in places if (p / "calvin_env" / "__init__.py").is_file()), None)
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
    """`calvin_env`'s environment with the names of `calvin_scene.Scene`."""

    def __init__(self, draws: bool, egl: bool) -> None:
        """Builds the environment from its own configuration.

        Args:
            draws: whether pictures are drawn, at every step then.
            egl: whether EGL draws them, else TinyRenderer.
        """
        self._draws, self._egl = draws, egl
        self._env: Any = None
        self._build()

    def reset(self, robot: Array, scene: Array, mode: str) -> None:
        """Brings a state; `isolated` builds a new environment first.

        Args:
            robot: 15 numbers.
            scene: 24 numbers.
            mode: `isolated` or `reference`.
        """
        if mode == "isolated" and self._used:
            self.close()
            self._build()
        self._used = True
        self._seen = self._env.reset(robot_obs=robot, scene_obs=scene)

    def step(self, action: NDArray[np.float32]) -> None:
        """Plays one control step."""
        self._seen, _, _, self._info = self._env.step(action)

    def robot_state(self) -> Array:
        """Its `robot_obs`, 15 numbers."""
        return np.asarray(self._env.get_state_obs()["robot_obs"], dtype=np.float64)

    def scene_state(self) -> Array:
        """Its `scene_obs`, 24 numbers."""
        return np.asarray(self._env.get_state_obs()["scene_obs"], dtype=np.float64)

    def picture(self, name: str) -> NDArray[np.uint8]:
        """What its camera `name` drew after the last step."""
        return np.ascontiguousarray(self._seen["rgb_obs"][f"rgb_{name}"])

    def begin(self, subtask: str) -> None:
        """Remembers the scene as the sub-task finds it."""
        self._subtask, self._start = subtask, self._env.get_info()

    def solved(self) -> bool:
        """Whether its own task oracle says that the sub-task is solved."""
        achieved = self._oracle.get_task_info_for_set(self._start, self._info, {self._subtask})
        return len(achieved) > 0

    def close(self) -> None:
        """Ends the simulation."""
        self._env.close()
        # Its destructor closes once more, which pybullet refuses.
        self._env.ownsPhysicsClient = False

    def _build(self) -> None:
        import hydra
        from calvin_env import __file__ as package

        folder = Path(package).resolve().parents[1] / "conf"
        cameras = "static_and_gripper" if self._draws else "no_cameras"
        with hydra.initialize_config_dir(str(folder), version_base=None):
            # Its configuration asks for coloured logs, which need a package more.
            logs = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
            chosen = [f"cameras={cameras}", "scene=calvin_scene_D", *logs]
            found = hydra.compose("config_data_collection", overrides=chosen)
        self._env = hydra.utils.instantiate(
            found.env, show_gui=False, use_vr=False, use_egl=self._egl, use_scene_info=True
        )
        if self._env.cid != 0:
            # It makes the robot's pedestal without saying in which simulation.
            raise RuntimeError("`calvin_env` draws right only as the first simulation of a process")
        self._oracle = hydra.utils.instantiate(found.tasks)
        self._used = False
        self.bullet = Bullet(self._env.cid)
        self.robot = _Robot(self._env.robot)
        self.table = _Table(self._env.scene)
        self.blocks = {block.name: block.uid for block in self._env.scene.movable_objects}


class UpstreamCameras:
    """Its cameras with the names of `calvin_cameras.Cameras`."""

    def __init__(self, scene: UpstreamScene, cameras: list[dict]) -> None:
        """Names the cameras.

        Args:
            scene: the environment.
            cameras: the protocol's `cameras`.
        """
        self._scene, self._names = scene, [camera["name"] for camera in cameras]

    def pictures(self) -> list[NDArray[np.uint8]]:
        """What the cameras drew after the last step."""
        return [self._scene.picture(name) for name in self._names]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """What one camera drew after the last step."""
        return self._scene.picture(self._names[index])


class _Robot:
    """`calvin_env`'s robot with the names of `calvin_robot.Robot`."""

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
    def target_turn(self) -> Array:
        return self._robot.target_orn

    def tool(self) -> tuple[Array, Array]:
        state = self.state()
        return state[:3], state[3:6]

    def state(self) -> Array:
        return self._robot.get_observation()[0]


class _Table:
    """`calvin_env`'s table with the names of `calvin_table.Table`."""

    def __init__(self, scene: Any) -> None:  # noqa: ANN401
        self._scene = scene
        (table,) = scene.fixed_objects
        self.body: int = table.uid

    def state(self) -> list[float]:
        return list(self._scene.get_obs()[:6])
