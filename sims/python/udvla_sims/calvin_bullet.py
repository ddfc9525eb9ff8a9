"""One pybullet simulation: the connection, and how bodies and joints are found and driven."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pybullet

Vector = tuple[float, ...] | list[float]


def connect(options: str = "") -> Bullet:
    """A new simulation.

    Args:
        options: pybullet's own options of a connection.
    """
    client = pybullet.connect(pybullet.DIRECT, options=options)
    if client < 0:
        raise RuntimeError("pybullet gives no further simulation in this process")
    return Bullet(client)


class Bullet:
    """pybullet's functions for one simulation of this process.

    An attribute is the pybullet function of that name with the simulation already chosen.
    """

    def __init__(self, client: int) -> None:
        """Speaks to a simulation.

        Args:
            client: its number in this process.
        """
        self.client = client

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """The pybullet function or constant `name`; looked up once."""
        found = getattr(pybullet, name)
        if callable(found):
            found = partial(found, physicsClientId=self.client)
        setattr(self, name, found)
        return found

    def close(self) -> None:
        """Ends the simulation."""
        if self.client >= 0:
            pybullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def load(self, path: Path, **placed: object) -> int:
        """Loads a URDF file and returns its body."""
        return self.loadURDF(path.as_posix(), **placed)

    def joints(self, body: int) -> dict[str, int]:
        """The index of each joint by its name."""
        count = self.getNumJoints(body)
        return {self.getJointInfo(body, index)[1].decode(): index for index in range(count)}

    def links(self, body: int) -> dict[str, int]:
        """The index of each link by its name; the base is -1."""
        count = self.getNumJoints(body)
        names = {self.getJointInfo(body, index)[12].decode(): index for index in range(count)}
        return {**names, "base_link": -1}

    def joint_position(self, body: int, joint: int) -> float:
        """A joint's position in metres or radians."""
        return float(self.getJointState(body, joint)[0])

    def hold(self, body: int, joint: int, place: float, force: float, **limit: float) -> None:
        """Lets a joint's motor go to a position and hold it."""
        self.setJointMotorControl2(
            bodyIndex=body,
            jointIndex=joint,
            controlMode=pybullet.POSITION_CONTROL,
            targetPosition=place,
            force=force,
            **limit,
        )

    def brake(self, body: int, joint: int, force: float) -> None:
        """Lets a joint's motor resist every movement."""
        self.setJointMotorControl2(
            bodyIndex=body, jointIndex=joint, controlMode=pybullet.VELOCITY_CONTROL, force=force
        )

    def touching(self, body: int) -> set[tuple[int, int]]:
        """The (body, link) pairs that a body touched in the last simulation step."""
        return {(contact[2], contact[4]) for contact in self.getContactPoints(bodyA=body)}
