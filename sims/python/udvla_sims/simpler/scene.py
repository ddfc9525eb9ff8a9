"""A SimplerEnv task on bare sapien: table, objects, robot, and how they settle.

Every episode gets a new scene: otherwise PhysX's memory of the previous episode would change the
first step of the next one.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import sapien.core as sapien
from numpy.typing import NDArray
from transforms3d.euler import euler2quat

from ..adapter import SetupError
from .camera import Camera
from .files import Checkout, visual
from .robot import Robot
from .rules import Judge, Judgement

_DROP = 0.5
"""Height in meters above the table from which objects fall."""
_FRICTION, _OBJECT_FRICTION, _OBJECT_DAMPING = 1.0, 0.5, 0.1
_STILL, _STILL_TURN = 1e-3, 1e-2
"""Sums of speeds (m/s, rad/s) up to which the objects count as settled."""


@functools.cache
def _engine() -> sapien.Engine:
    """The physics engine; sapien has one per process."""
    made = sapien.Engine()
    made.set_log_level("error")
    return made


@functools.cache
def _rendering_engine(device: str) -> sapien.Engine:
    """The physics engine with a renderer; shaders are compiled once per process."""
    sapien.render_config.viewer_shader_dir = "ibl"
    try:
        renderer = sapien.SapienRenderer(offscreen_only=True, device=device)
    except RuntimeError as error:
        raise SetupError(
            f"sapien refuses the Vulkan device ({error}); `udvla-eval doctor simpler` says why, "
            "`udvla-eval setup simpler` provides one that works"
        ) from error
    renderer.set_log_level("warn")
    _engine().set_renderer(renderer)
    return _engine()


class World:
    """One simulated task; see `adapter.World`.

    Source: ManiSkill2_real2sim, envs/custom_scenes/{base_env,move_near_in_scene,
    put_on_in_scene}.py.
    """

    def __init__(
        self, protocol: dict, files: Checkout, shaders: str | None, device: str = ""
    ) -> None:
        """Prepares the engine; `reset` builds a scene.

        Args:
            protocol: the protocol.
            files: the benchmark's files.
            shaders: a folder of shaders, or the name of one of SAPIEN's; None if `image` will not
                be called. Rendering needs a Vulkan device.
            device: the Vulkan device in SAPIEN's words; empty for its choice.
        """
        self._details = protocol["suites"][0]["details"]
        self._environment = protocol["environment"]
        self._files, self._shaders = files, shaders
        if shaders:
            sapien.render_config.camera_shader_dir = shaders
        self._engine = _rendering_engine(device) if shaders else _engine()
        control = self._environment["control"]
        self._hz = int(control["simulation_hz"])
        self._substeps = self._hz // int(control["hz"])

    def reset(self, task: dict, trial: int) -> None:
        """Builds the scene of an episode and lets its objects settle."""
        setup = self._details["setups"][task["setup"]]
        yaws = task["source_yaws"]
        place = task["places"][trial // len(yaws)]
        yaw = math.radians(yaws[trial % len(yaws)])
        self.close()
        self._build(task, setup)
        self.robot.move_away()
        for fixture in setup["fixtures"]:
            self._fixtures[fixture["name"]].set_pose(sapien.Pose(fixture["position"]))
            self._fixtures[fixture["name"]].lock_motion()
        self._drop(place, yaw)
        sizes = [self._details["objects"][task[role]]["size"] for role in ("source", "target")]
        self._judge = Judge(self, task, sizes)
        self.robot.place(setup["joints"], setup["base"])

    def step(self, action: NDArray[np.float32]) -> Judgement:
        """Executes one control step."""
        self.robot.command(action)
        for _ in range(self._substeps):
            self.robot.balance()
            self.scene.step()
        return self._judge.now()

    def solved(self) -> bool:
        """Whether the goal holds in the current state; changes nothing."""
        return self._judge.now().success

    def image(self) -> NDArray[np.uint8]:
        """The camera's current image; does not change the state."""
        return self._camera.image()

    def close(self) -> None:
        """Frees the scene."""
        self._camera = self._judge = self._fixtures = None
        self.robot = self.source = self.target = self.scene = None

    @property
    def tool_target(self) -> sapien.Pose:
        """The controller's target pose of the tool in the base's frame."""
        return self.robot.target_pose

    @property
    def body(self) -> sapien.Articulation:
        """The robot."""
        return self.robot.body

    @property
    def tool(self) -> sapien.Link:
        """The link between the fingers."""
        return self.robot.tool

    def _build(self, task: dict, setup: dict) -> None:
        # The order in which bodies are added is part of the result.
        self.scene = self._engine.create_scene(_scene_config())
        self.scene.set_timestep(1.0 / self._hz)
        self.robot = Robot(self.scene, self._files.urdf)
        self._add_table(setup["scene"])
        self.source, self.target = (self._add(task[role]) for role in ("source", "target"))
        names = [fixture["name"] for fixture in setup["fixtures"]]
        self._fixtures = {name: self._add(name) for name in names}
        for thing in (self.source, self.target):
            thing.set_damping(_OBJECT_DAMPING, _OBJECT_DAMPING)
        if self._shaders:
            sapien.render_config.camera_shader_dir = self._shaders
            self._add_camera(setup)

    def _add_camera(self, setup: dict) -> None:
        self.robot.match_photographs()
        things = [self.source, self.target, *self._fixtures.values()]
        foreground = [thing for thing in things if thing.name not in setup["photographed"]]
        self._camera = Camera(
            self.scene,
            {**self._environment["cameras"][0], **setup["camera"]},
            mount=self.robot.links["base_link"],
            photograph=self._files.photograph(setup["photograph"]),
            foreground=[*self.robot.body.get_links(), *foreground],
        )
        self.scene.set_ambient_light(self._environment["scene"]["ambient_light"])
        for light in setup["lights"]:
            self.scene.add_directional_light(light["direction"], light["colour"])

    def _add_table(self, name: str) -> None:
        place = self._environment["scene"]
        mesh, pose = str(self._files.scene(name)), sapien.Pose(q=place["quaternion"])
        builder = self.scene.create_actor_builder()
        builder.add_nonconvex_collision_from_file(mesh, pose)
        builder.add_visual_from_file(mesh, pose)
        builder.build_static(name="arena").set_pose(sapien.Pose(place["position"]))

    def _add(self, name: str) -> sapien.Actor:
        folder = self._files.models / name
        builder = self.scene.create_actor_builder()
        builder.add_multiple_collisions_from_file(
            filename=str(folder / "collision.obj"),
            material=self.scene.create_physical_material(_OBJECT_FRICTION, _OBJECT_FRICTION, 0.0),
            density=self._details["objects"][name]["density"],
        )
        builder.add_visual_from_file(filename=str(visual(folder)))
        actor = builder.build()
        actor.name = name
        return actor

    def _drop(self, place: list[float], yaw: float) -> None:
        """Drops source and target onto the table, upright first, then freely."""
        height = self._environment["scene"]["table_height"] + _DROP
        things = (self.source, self.target)
        turns = (euler2quat(0, 0, yaw), [1, 0, 0, 0])
        for thing, place_xy, turn in zip(things, (place[:2], place[2:]), turns, strict=True):
            thing.set_pose(sapien.Pose([*place_xy, height], turn))
            thing.lock_motion(0, 0, 0, 1, 1, 0)
        self._simulate(0.5)
        for thing in things:
            thing.lock_motion(0, 0, 0, 0, 0, 0)
            # Setting the pose wakes the object up.
            thing.set_pose(thing.pose)
            thing.set_velocity(np.zeros(3))
            thing.set_angular_velocity(np.zeros(3))
        self._simulate(0.5)
        speed = sum(np.linalg.norm(thing.velocity) for thing in things)
        turning = sum(np.linalg.norm(thing.angular_velocity) for thing in things)
        if speed > _STILL or turning > _STILL_TURN:
            self._simulate(1.5)

    def _simulate(self, seconds: float) -> None:
        for _ in range(int(self._hz * seconds)):
            self.scene.step()


def _scene_config() -> sapien.SceneConfig:
    config = sapien.SceneConfig()
    config.default_dynamic_friction = config.default_static_friction = _FRICTION
    config.default_restitution = 0.0
    config.contact_offset = 0.005
    config.enable_pcm, config.enable_tgs = False, True
    config.solver_iterations, config.solver_velocity_iterations = 25, 1
    return config
