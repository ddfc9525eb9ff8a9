"""Writes frames.json: messages as the packages of the two protocols write them, in hexadecimal.

Run once with `openpi-client==0.1.2`, `vla-eval==0.8.0` and `pillow`:
`python frames.py > frames.json`.
"""

from __future__ import annotations

import json

import numpy as np
from openpi_client import msgpack_numpy
from vla_eval.protocol import numpy_codec
from vla_eval.protocol.messages import Message, MessageType, pack_message

IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
STATE = np.array([1.0, -2.5])
ACTIONS = np.arange(7, dtype=np.float32) / 8


def openpi() -> dict[str, bytes]:
    """An observation, an answer, and values of every other kind."""
    observation = {
        "observation/image": IMAGE,
        "observation/state": np.zeros(2),
        "prompt": "pick",
    }
    timing = {"infer_ms": 1.5, "count": 3}
    answer = {"actions": np.stack([ACTIONS, ACTIONS]), "server_timing": timing}
    scalars = {
        "none": None,
        "flags": [True, False],
        "integers": [0, 127, 128, 255, 256, 65536, 2**40, -1, -33, -129, -40000, -(2**40)],
        "float": 0.1,
        "bytes": b"\x00\x01",
        "long": "x" * 300,
        "empty": {},
    }
    return {
        "observation": msgpack_numpy.packb(observation),
        "answer": msgpack_numpy.packb(answer),
        "scalars": msgpack_numpy.packb(scalars),
        "generic": msgpack_numpy.packb({"a": np.float32(0.5), "b": np.int64(-3)}),
    }


def vla_eval() -> dict[str, bytes]:
    """Messages of a session; images as PNG are read only."""
    hello = {"harness_version": "0.8.0", "protocol_version": 1, "benchmark": "a:B"}
    observation = {"images": {"agentview": IMAGE}, "states": STATE, "task_description": "pick"}

    def pack(kind: MessageType, payload: dict, seq: int) -> bytes:
        return pack_message(Message(type=kind, payload=payload, seq=seq, timestamp=1700000000.25))

    numpy_codec.set_image_format("raw")
    frames = {
        "hello": pack(MessageType.HELLO, hello, 0),
        "observation": pack(MessageType.OBSERVATION, observation, 5),
        "action": pack(MessageType.ACTION, {"actions": ACTIONS}, 5),
        "error": pack(MessageType.ERROR, {"error": "observation_failed: ValueError: x"}, 6),
    }
    numpy_codec.set_image_format("png")
    frames["observation-png"] = pack(MessageType.OBSERVATION, observation, 5)
    return frames


def hexadecimal(frames: dict[str, bytes]) -> dict[str, str]:
    """The same with text for JSON."""
    return {name: frame.hex() for name, frame in frames.items()}


print(json.dumps({"openpi": hexadecimal(openpi()), "vla_eval": hexadecimal(vla_eval())}, indent=1))
