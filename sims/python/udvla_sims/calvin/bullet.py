"""One pybullet simulation: the connection, and joints and bodies by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import pybullet


class Bullet:
    """pybullet's functions bound to one simulation of this process.

    Any attribute is the pybullet function or constant of that name.
    """

    def __init__(self, client: int) -> None:
        """Binds to the simulation with pybullet's number `client`."""
        self.client = client

    @classmethod
    def connect(cls, options: str = "") -> Bullet:
        """A new simulation.

        Args:
            options: pybullet's connection options.

        Raises:
            RuntimeError: pybullet refuses another simulation in this process.
        """
        client = pybullet.connect(pybullet.DIRECT, options=options)
        if client < 0:
            raise RuntimeError("pybullet does not start another simulation in this process")
        return cls(client)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """The pybullet function or constant `name`; looked up once."""
        value = getattr(pybullet, name)
        if callable(value):
            value = partial(value, physicsClientId=self.client)
        setattr(self, name, value)
        return value

    def close(self) -> None:
        """Ends the simulation."""
        if self.client >= 0:
            pybullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def joints(self, body: int) -> dict[str, int]:
        """Joint indices by name."""
        count = self.getNumJoints(body)
        return {self.getJointInfo(body, index)[1].decode(): index for index in range(count)}

    def links(self, body: int) -> dict[str, int]:
        """Link indices by name; the base is -1."""
        count = self.getNumJoints(body)
        names = {self.getJointInfo(body, index)[12].decode(): index for index in range(count)}
        return {**names, "base_link": -1}

    def joint_position(self, body: int, joint: int) -> float:
        """A joint's position in meters or radians."""
        return float(self.getJointState(body, joint)[0])

    def hold(self, body: int, joint: int, position: float, force: float, **limit: float) -> None:
        """Drives a joint's motor to a position and holds it there."""
        self.setJointMotorControl2(
            bodyIndex=body,
            jointIndex=joint,
            controlMode=pybullet.POSITION_CONTROL,
            targetPosition=position,
            force=force,
            **limit,
        )

    def brake(self, body: int, joint: int, force: float) -> None:
        """Makes a joint's motor resist every movement."""
        self.setJointMotorControl2(
            bodyIndex=body, jointIndex=joint, controlMode=pybullet.VELOCITY_CONTROL, force=force
        )

    def touching(self, body: int) -> set[tuple[int, int]]:
        """The (body, link) pairs that a body touched in the last simulation step."""
        return {(contact[2], contact[4]) for contact in self.getContactPoints(bodyA=body)}
