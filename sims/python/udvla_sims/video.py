"""Writes episode videos: H.264 in MP4, which browsers play."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

_QUALITY = "23"
"""Constant rate factor of libx264; its own default."""


class Writer:
    """A video being written; it gets its name only when complete."""

    def __init__(self, path: str | os.PathLike[str], height: int, width: int, fps: float) -> None:
        """Opens `<path>.part` for writing.

        Args:
            path: of the finished video; its folder exists.
            height: of every frame in pixels, an even number.
            width: of every frame in pixels, an even number.
            fps: frames per second.

        Raises:
            ValueError: a size is odd or not positive.
        """
        if height <= 0 or width <= 0 or height % 2 or width % 2:
            raise ValueError(f"a video of {width} x {height} pixels cannot be encoded")
        self._path, self._shape = Path(path), (height, width, 3)
        self._draft = self._path.with_name(self._path.name + ".part")
        # `faststart` puts the index first, so that browsers can start before the download ends.
        self._container = av.open(
            str(self._draft), mode="w", format="mp4", options={"movflags": "faststart"}
        )
        rate = Fraction(fps).limit_denominator(1000)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"
        # One thread: the encoder shares its cores with the simulators.
        self._stream.codec_context.thread_count = 1
        self._stream.options = {"crf": _QUALITY, "preset": "veryfast"}

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Appends a frame.

        Args:
            frame: [height, width, 3] RGB.

        Raises:
            ValueError: the frame has another size or type.
        """
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(
                f"a frame is {frame.dtype} {frame.shape}, the video is uint8 {self._shape}"
            )
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        self._container.mux(self._stream.encode(image))

    def finish(self) -> None:
        """Completes the video and gives it its name."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        os.replace(self._draft, self._path)

    def abort(self) -> None:
        """Drops the video; also right after a failed `finish`."""
        self._container.close()
        self._draft.unlink(missing_ok=True)
