"""The SimplerEnv-WidowX adapter: the four Bridge tasks on sapien 2.2.2.

The option `adapter` says whose code simulates; states, pictures and outcomes are the same:

- `slim` (default): this package's own, on sapien alone.
- `upstream`: the benchmark's, an importable `mani_skill2_real2sim`.

Every episode is built anew, so its result depends on nothing that ran before. Pictures are drawn
only when `observe` or `frame` is called; without either nothing needs a Vulkan device.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import simpler_files
from .adapter import Observation, Progress, SetupError, Spec

SUCCESS = ("last-step", "any-step")
ADAPTERS = {"slim": "simpler_scene", "upstream": "simpler_upstream"}
_STATE = [
    *("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"),
    *("left_finger", "right_finger", "x", "y", "z", "qw", "qx", "qy", "qz"),
]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]
_REST = (-0.05, 0.15)
"""How far in metres above the table's top a settled object's origin is: cloth, cubes, basket."""


class World(Protocol):
    """A simulated task, whoever's code it is. Poses are sapien's, in world axes."""

    body: Any
    tool: Any
    source: Any
    target: Any
    tool_target: Any

    def reset(self, task: dict, trial: int) -> None:
        """Builds the scene of an episode and lets its objects come to rest."""

    def step(self, action: NDArray[np.float32]) -> Any:  # noqa: ANN401
        """Plays one control step; gives a `simpler_rules.Judgement`."""

    def picture(self) -> NDArray[np.uint8]:
        """The camera's picture of now; changes nothing."""

    def close(self) -> None:
        """Frees the simulation."""


class Adapter:
    """One SimplerEnv simulator; a scene is built at every reset."""

    spec: Spec

    def __init__(self, config: dict) -> None:
        """Checks versions, files and the renderer; see `adapter.Adapter`.

        Args:
            config: as in the contract; `simpler_root` is the user's checkout, `adapter` one of
                `ADAPTERS`.
        """
        self._protocol = config["protocol"]
        (self._suite,) = self._protocol["suites"]
        self._environment = self._protocol["environment"]
        self._bounds = np.array(self._environment["control"]["bounds"], dtype=np.float32)
        setting = simpler_files.versions()
        adapter = config.get("adapter") or "slim"
        if adapter not in ADAPTERS:
            raise SetupError(f"the adapter `{adapter}` is not one of `slim`, `upstream`")
        setting["adapter"] = adapter
        files = simpler_files.find(config.get("simpler_root"), self._suite["details"]["files"])
        setting |= {"assets": "ManiSkill2_real2sim", "assets_sha256": files.sha256}
        if files.foreign:
            setting["comparable"] = f"no: other files than SimplerEnv's: {', '.join(files.foreign)}"
        self._images, draws = bool(config["images"]), bool(config["images"] or config["video"])
        setting["renderer"] = _renderer(config.get("renderer"), draws or adapter == "upstream")
        tables, worlds = _import("simpler_tables"), _import(ADAPTERS[adapter])
        self._rules = _import("simpler_rules")
        setups = self._suite["details"]["setups"].values()
        scratch = Path(config["scratch"])
        data = tables.prepare(files.data, {setup["scene"] for setup in setups}, scratch)
        self.world: World = worlds.World(self._protocol, files._replace(data=data), draws)
        cameras = self._environment["cameras"]
        self.spec = Spec(
            cameras=[(camera["name"], camera["height"], camera["width"]) for camera in cameras],
            state=list(_STATE),
            action=list(_ACTION),
            control_hz=float(self._environment["control"]["hz"]),
            setting=setting,
        )
        if self._environment["success"] not in SUCCESS:
            raise SetupError(f"`success` of the protocol is not one of {', '.join(SUCCESS)}")
        self._any_step = self._environment["success"] == "any-step"
        self._tally: Any = None
        self._expert: Any = None

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Builds the scene of an episode and lets its objects come to rest.

        Raises:
            RuntimeError: the objects do not lie on the table.
        """
        tasks = self._suite["details"]["tasks"]
        if suite != self._suite["name"] or not 0 <= task < len(tasks):
            raise ValueError(f"the protocol has no suite `{suite}` with a task {task}")
        self._task, self._instruction = tasks[task], self._suite["tasks"][task]
        self._tally = self._expert = None
        # A repeat of a trial differs in the policy's noise alone.
        self.world.reset(self._task, trial % self._suite["trials"])
        self._check_rest()
        self._tally, self._running = self._rules.Tally(), True

    def observe(self) -> Observation:
        """What the policy sees now; the picture is drawn only here."""
        self._episode()
        images = [self.world.picture()] if self._images else []
        tool = self._in_base(self.world.tool.pose)
        state = np.concatenate([self.world.body.get_qpos(), tool.p, tool.q])
        return Observation(images, state.astype(np.float32), self._instruction)

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Plays one control step; see `adapter.Adapter`.

        The episode's one stage is completed while the rule holds, so it may come and go: what
        counts is the last step. Under the protocol's other choice, `any-step`, it stays completed.
        """
        command, tally = _checked(action), self._episode()
        if not self._running:
            raise RuntimeError("the episode is over; reset first")
        judged = self.world.step(command)
        tally.add(judged)
        tally.beyond_bounds += bool((np.abs(command) > self._bounds).any())
        done = tally.steps >= self._task["max_steps"]
        self._running = not done
        success = tally.success_any if self._any_step else judged.success
        return Progress(int(success), done, done and not success)

    def notes(self) -> dict[str, bool | int]:
        """What else happened in the episode; see `simpler_rules.Tally`."""
        return self._episode().notes()

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .simpler_expert import Expert

        self._episode()
        if self._expert is None:
            self._expert = Expert(self.world, self._task, self._table_over_base())
        return self._expert.action()

    def frame(self) -> NDArray[np.uint8]:
        """The camera's picture."""
        self._episode()
        return self.world.picture()

    def state_bytes(self) -> bytes:
        """Joints, objects and the tool's target, positions and speeds, as little-endian f32."""
        self._episode()
        world = self.world
        parts = [world.body.get_qpos(), world.body.get_qvel()]
        parts += [world.tool_target.p, world.tool_target.q]
        for thing in (world.source, world.target):
            parts += [thing.pose.p, thing.pose.q, thing.velocity, thing.angular_velocity]
        return np.concatenate(parts).astype("<f4").tobytes()

    def close(self) -> None:
        """Frees the simulation; a later `reset` builds it again."""
        self._tally = self._expert = None
        self.world.close()

    def _in_base(self, pose: Any) -> Any:  # noqa: ANN401
        return self.world.body.pose.inv().transform(pose)

    def _table_over_base(self) -> float:
        table = self._environment["scene"]["table_height"]
        return float(table - self.world.body.pose.p[2])

    def _episode(self) -> Any:  # noqa: ANN401
        if self._tally is None:
            raise RuntimeError("no episode: reset comes first")
        return self._tally

    def _check_rest(self) -> None:
        """Refuses a scene whose objects fell through the table."""
        table = self._environment["scene"]["table_height"]
        for thing in (self.world.source, self.world.target):
            height = float(thing.pose.p[2])
            if not _REST[0] <= height - table <= _REST[1]:
                setup = self._suite["details"]["setups"][self._task["setup"]]
                raise RuntimeError(
                    f"`{thing.name}` came to rest at a height of {height:.3f} m, the table's top "
                    f"is at {table} m: `{setup['scene']}.glb` is missing or no table; clone "
                    f"again with `{simpler_files.CLONE}`"
                )


def _checked(action: NDArray[np.float32]) -> NDArray[np.float32]:
    """The action, if it can be played."""
    command = np.asarray(action, dtype=np.float32)
    if command.shape != (len(_ACTION),):
        raise ValueError(f"an action has {len(_ACTION)} numbers, not {command.size}: {action}")
    if not np.isfinite(command).all():
        raise ValueError(f"an action that is not finite: {command.tolist()}")
    return command


def _import(module: str) -> Any:  # noqa: ANN401
    """One of our modules that need sapien."""
    try:
        return importlib.import_module(f".{module}", __package__)
    except ImportError as error:
        if "libvulkan" not in str(error):
            raise
        raise SetupError(f"{error}; type `apt-get install libvulkan1`") from error


def _renderer(wanted: str | None, needed: bool) -> str:
    """The device and driver that draw, or `none`."""
    if not needed:
        return "none"
    from . import simpler_devices

    return simpler_devices.choose(wanted)
