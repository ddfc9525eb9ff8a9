"""openpi's messages: msgpack whose arrays are maps with keys of bytes."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

_KINDS = "biuf"


def pack(value: Any) -> bytes:  # noqa: ANN401
    """The bytes of a tree of numbers, texts, lists, maps and numeric arrays.

    Raises:
        TypeError: for anything else, for example an array of objects.
    """
    return msgpack.packb(value, default=_encoded)


def unpack(message: bytes) -> Any:  # noqa: ANN401
    """The tree of a message; its arrays are read-only.

    Raises:
        ValueError: if it is no message, or an array of it is not numeric.
    """
    return msgpack.unpackb(message, object_hook=_decoded, max_ext_len=0)


def _encoded(value: Any) -> dict[bytes, Any]:  # noqa: ANN401
    if isinstance(value, np.generic) and value.dtype.kind in _KINDS:
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _KINDS:
        raise TypeError(f"a message cannot hold {type(value).__name__}")
    return {
        b"__ndarray__": True,
        b"data": value.tobytes(),
        b"dtype": value.dtype.str,
        b"shape": value.shape,
    }


def _decoded(fields: dict) -> Any:  # noqa: ANN401
    if b"__ndarray__" in fields:
        dtype = _dtype(fields)
        return np.frombuffer(fields[b"data"], dtype).reshape(fields[b"shape"])
    if b"__npgeneric__" in fields:
        return _dtype(fields).type(fields[b"data"])
    return fields


def _dtype(fields: dict) -> np.dtype:
    dtype = np.dtype(fields[b"dtype"])
    if dtype.kind not in _KINDS:
        raise ValueError(f"an array of {dtype} is not numeric")
    return dtype
