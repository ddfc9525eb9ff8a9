"""Serves a policy in Python over openpi's protocol.

A policy is a class with `infer(observation) -> actions`. With `infer_batch(observations)` as well,
observations of several clients are answered together. With `reset()` it keeps something between
calls: `reset` is called when an episode begins, and each client needs an instance of its own.
"""

from __future__ import annotations

from .codec import pack, unpack
from .server import PolicyServer

__all__ = ["PolicyServer", "pack", "unpack"]
