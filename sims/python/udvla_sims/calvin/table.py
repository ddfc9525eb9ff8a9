"""CALVIN's table of environment D: sliding door, drawer, button, switch and two lights."""

from __future__ import annotations

from pathlib import Path

from .bullet import Bullet

SCALE = 0.8
"""Scale of the table and the blocks."""
_FORCE = 4.0
_COLORS = {"lightbulb": (1, 1, 0, 1), "led": (0, 1, 0, 1)}
_LINKS = {"lightbulb": "light_link", "led": "led_link"}
_OFF = (1, 1, 1, 1)


class Table:
    """The table in a simulation.

    Source: calvin_env, scene/objects/{door,button,switch,light}.py.
    """

    def __init__(self, bullet: Bullet, data: Path) -> None:
        """Loads the table and sets the motors of its joints.

        Args:
            bullet: the simulation.
            data: CALVIN's data folder.
        """
        self._bullet = bullet
        path = data / "calvin_table_D" / "urdf" / "calvin_table_D.urdf"
        upright = bullet.getQuaternionFromEuler([0, 0, 0])
        self.body = bullet.loadURDF(path.as_posix(), [0, 0, 0], upright, globalScaling=SCALE)
        joints = bullet.joints(self.body)
        self.links = bullet.links(self.body)
        names = ("base__slide", "base__drawer", "base__button", "base__switch")
        self.slide, self.drawer, self.button, self.switch = (joints[name] for name in names)
        for joint in (self.slide, self.drawer):
            bullet.brake(self.body, joint, _FORCE)
        bullet.hold(self.body, self.button, 0.0, _FORCE)
        bullet.brake(self.body, self.switch, _FORCE)
        self._midpoints = {joint: self._midpoint(joint) for joint in (self.button, self.switch)}
        self._was_pressed = self._past(self.button)
        self._switch_on = False
        self._button_on = False
        self.lights = {"lightbulb": 0, "led": 0}

    def reset(self, state: list[float]) -> None:
        """Sets joints and lights.

        Args:
            state: slide, drawer, button, switch, light bulb, LED.
        """
        slide, drawer, button, switch, bulb, led = state
        joints = (self.slide, self.drawer, self.button, self.switch)
        for joint, position in zip(joints, (slide, drawer, button, switch), strict=True):
            self._bullet.resetJointState(self.body, joint, position)
        self._light("lightbulb", int(bulb))
        self._light("led", int(led))
        self._button_on = bool(self.lights["led"])
        self._switch_on = False

    def react(self) -> None:
        """Updates the lights from button and switch, once per control step."""
        pressed = self._past(self.button)
        if pressed and not self._was_pressed:
            self._button_on = not self._button_on
            self._light("led", int(self._button_on))
        self._was_pressed = pressed
        on = self._past(self.switch)
        if on != self._switch_on:
            self._light("lightbulb", int(on))
        self._switch_on = on

    def state(self) -> list[float]:
        """Slide, drawer, button, switch (meters or radians), light bulb, LED (0 or 1)."""
        joints = (self.slide, self.drawer, self.button, self.switch)
        positions = [self._bullet.joint_position(self.body, joint) for joint in joints]
        return [*positions, self.lights["lightbulb"], self.lights["led"]]

    def _midpoint(self, joint: int) -> float:
        lower, upper = self._bullet.getJointInfo(self.body, joint)[8:10]
        return (lower + upper) / 2

    def _past(self, joint: int) -> bool:
        return self._bullet.joint_position(self.body, joint) > self._midpoints[joint]

    def _light(self, name: str, on: int) -> None:
        self.lights[name] = on
        color = _COLORS[name] if on else _OFF
        self._bullet.changeVisualShape(self.body, self.links[_LINKS[name]], rgbaColor=color)
