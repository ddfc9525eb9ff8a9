"""The SimplerEnv-WidowX adapter: the four Bridge tasks on sapien 2.2.2.

The option `adapter` chooses the simulation; states, images and outcomes are the same:

- `slim` (default): this package's own, on sapien alone.
- `upstream`: the benchmark's, an importable `mani_skill2_real2sim`.

Every episode gets a new scene, so its result does not depend on what ran before. Images are
rendered only by `observe` and `frame`; without them no Vulkan device is needed.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..adapter import Observation, Progress, SetupError, checked_action, protocol_spec, quoted
from . import shaders
from .files import CLONE, find_files, package_versions

SUCCESS = ("last-step", "any-step")
ADAPTERS = {"slim": "scene", "upstream": "upstream"}
_STATE = [
    *("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"),
    *("left_finger", "right_finger", "x", "y", "z", "qw", "qx", "qy", "qz"),
]
_ACTION = ["x", "y", "z", "rx", "ry", "rz", "gripper"]
_REST_HEIGHTS = (-0.05, 0.15)
"""Lowest and highest origin of a settled object above the table's top, in meters."""


class World(Protocol):
    """A simulated task of either adapter. Poses are sapien's, in the world frame."""

    body: Any
    tool: Any
    source: Any
    target: Any
    tool_target: Any

    def reset(self, task: dict, trial: int) -> None:
        """Builds the scene of an episode and lets its objects settle."""

    def step(self, action: NDArray[np.float32]) -> Any:  # noqa: ANN401
        """Executes one control step; returns a `rules.Judgement`."""

    def image(self) -> NDArray[np.uint8]:
        """The camera's current image, [height, width, 3] RGB; does not change the state."""

    def close(self) -> None:
        """Frees the simulation."""


class Adapter:
    """One SimplerEnv simulator; a scene is built at every reset."""

    def __init__(self, config: dict) -> None:
        """Checks versions, files and the renderer.

        Args:
            config: as in the contract; `simpler_root` is the user's checkout, `adapter` one of
                `ADAPTERS`.
        """
        self._protocol = config["protocol"]
        (self._suite,) = self._protocol["suites"]
        self._environment = self._protocol["environment"]
        self._bounds = np.array(self._environment["control"]["bounds"], dtype=np.float32)
        setting = package_versions()
        adapter = config.get("adapter") or "slim"
        if adapter not in ADAPTERS:
            raise SetupError(f"the adapter `{adapter}` is not one of {quoted(ADAPTERS)}")
        setting["adapter"] = adapter
        files = find_files(config.get("simpler_root"), self._suite["details"]["files"])
        setting |= {"assets": "ManiSkill2_real2sim", "assets_sha256": files.sha256}
        if files.foreign:
            setting["comparable"] = f"no: other files than SimplerEnv's: {', '.join(files.foreign)}"
        self._images, draws = bool(config["images"]), bool(config["images"] or config["video"])
        card = config.get("card", "") if draws else ""
        if card and adapter == "upstream":
            raise SetupError("`--render-device` does not go with `--adapter upstream`")
        setting |= _renderer(config, draws or adapter == "upstream")
        tables, worlds = _import("tables"), _import(ADAPTERS[adapter])
        self._rules = _import("rules")
        setups = self._suite["details"]["setups"].values()
        scratch = Path(config["scratch"])
        data = tables.prepare(files.data, {setup["scene"] for setup in setups}, scratch)
        pack = _shader_pack(setting["renderer"], scratch) if draws else None
        files, words = (
            files._replace(data=data),
            [_import("devices").sapiens_name(card)][: bool(card)],
        )
        self.world: World = worlds.World(self._protocol, files, pack, *words)
        self.spec = protocol_spec(self._environment, _STATE, _ACTION, setting)
        if self._environment["success"] not in SUCCESS:
            raise SetupError(f"`success` of the protocol is not one of {', '.join(SUCCESS)}")
        self._any_step = self._environment["success"] == "any-step"
        self._tally: Any = None
        self._expert: Any = None

    def reset(self, suite: str, task: int, trial: int) -> None:
        """Builds the scene of an episode and lets its objects settle.

        Raises:
            RuntimeError: the objects do not lie on the table.
        """
        tasks = self._suite["details"]["tasks"]
        if suite != self._suite["name"] or not 0 <= task < len(tasks):
            raise ValueError(f"the protocol has no suite `{suite}` with a task {task}")
        self._task, self._instruction = tasks[task], self._suite["tasks"][task]
        self._tally = self._expert = None
        # Repeats of a trial differ only in the policy's noise.
        self.world.reset(self._task, trial % self._suite["trials"])
        self._check_rest()
        self._tally, self._running = self._rules.Tally(), True

    def observe(self) -> Observation:
        """The current observation; the image is rendered only here."""
        self._episode()
        images = [self.world.image()] if self._images else []
        tool = self._in_base(self.world.tool.pose)
        state = np.concatenate([self.world.body.get_qpos(), tool.p, tool.q])
        return Observation(images, state.astype(np.float32), self._instruction)

    def step(self, action: NDArray[np.float32], look: bool) -> Progress:
        """Executes one control step.

        The episode's single stage is completed while the rule holds, and the last step decides.
        With `success` `any-step` the stage stays completed.
        """
        command, tally = checked_action(action, len(_ACTION)), self._episode()
        if not self._running:
            raise RuntimeError("the episode is over; reset first")
        judged = self.world.step(command)
        tally.add(judged)
        tally.beyond_bounds += bool((np.abs(command) > self._bounds).any())
        done = tally.steps >= self._task["max_steps"]
        self._running = not done
        success = tally.success_any if self._any_step else judged.success
        return Progress(int(success), done, done and not success)

    def solved(self) -> bool | None:
        """Whether the goal holds in the current state; None with the checkout's own code."""
        self._episode()
        return self.world.solved()

    def notes(self) -> dict[str, bool | int]:
        """Further outcomes of the episode; see `rules.Tally`."""
        return self._episode().notes()

    def script_action(self) -> NDArray[np.float32]:
        """The scripted expert's next action."""
        from .expert import Expert

        self._episode()
        if self._expert is None:
            self._expert = Expert(self.world, self._task, self._table_over_base())
        return self._expert.action()

    def frame(self) -> NDArray[np.uint8]:
        """The camera's image."""
        self._episode()
        return self.world.image()

    def state_bytes(self) -> bytes:
        """Joints, objects and the tool's target, positions and velocities, as little-endian f32."""
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
        """Checks that no object fell through the table."""
        table = self._environment["scene"]["table_height"]
        for thing in (self.world.source, self.world.target):
            height = float(thing.pose.p[2])
            if not _REST_HEIGHTS[0] <= height - table <= _REST_HEIGHTS[1]:
                setup = self._suite["details"]["setups"][self._task["setup"]]
                raise RuntimeError(
                    f"`{thing.name}` came to rest at a height of {height:.3f} m, the table's top "
                    f"is at {table} m: `{setup['scene']}.glb` is missing or not a table; clone "
                    f"again with `{CLONE}`"
                )


def _import(module: str) -> Any:  # noqa: ANN401
    """Imports a module of this package that needs sapien."""
    try:
        return importlib.import_module(f".{module}", __package__)
    except ImportError as error:
        if "libvulkan" not in str(error):
            raise
        raise SetupError(f"{error}; run `apt-get install libvulkan1`") from error


def _shader_pack(renderer: str, scratch: Path) -> str:
    """The shaders for a device; images are equal with all of them."""
    # A graphics card computes the table in no time.
    changed = shaders.without_table(scratch) if "llvmpipe" in renderer else None
    return str(changed or shaders.PACK)


def _renderer(config: dict, needed: bool) -> dict[str, str]:
    """The device and driver that render, or `none`; and why, if a probe decided."""
    if not needed:
        return {"renderer": "none"}
    from . import devices

    name, why = devices.working_renderer(config.get("renderer"), config.get("otherwise"))
    chosen = {"renderer": devices.choose_device(name, config.get("card", ""))}
    return {**chosen, "machine.renderer": why} if why else chosen
