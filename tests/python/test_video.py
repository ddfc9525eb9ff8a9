"""The video writer against the coder it is built on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sims" / "python"))
av = pytest.importorskip("av", reason="`av` is not installed here")
np = pytest.importorskip("numpy", reason="`numpy` is not installed here")

from udvla_sims.adapter import side_by_side  # noqa: E402
from udvla_sims.video import Writer  # noqa: E402


def frames(count: int) -> list:
    """A red square that moves to the right over green."""
    pictures = []
    for index in range(count):
        picture = np.zeros((96, 128, 3), dtype=np.uint8)
        picture[..., 1] = 150
        picture[32:64, 4 * index : 4 * index + 32] = (220, 20, 20)
        pictures.append(picture)
    return pictures


def test_a_video_can_be_decoded_again(tmp_path):
    path = tmp_path / "episode.mp4"
    writer = Writer(path, 96, 128, 20.0)
    for frame in frames(20):
        writer.add(frame)
    assert not path.exists()
    writer.finish()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 20
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 20
    error = np.abs(decoded[9].astype(int) - frames(20)[9]).mean()
    assert error < 8, error
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert [item.name for item in tmp_path.iterdir()] == ["episode.mp4"]


def test_an_aborted_video_leaves_nothing(tmp_path):
    writer = Writer(tmp_path / "episode.mp4", 96, 128, 20.0)
    writer.add(frames(1)[0])
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_leaves_nothing_when_aborted(tmp_path):
    Writer(tmp_path / "episode.mp4", 96, 128, 20.0).abort()
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path):
    writer = Writer(tmp_path / "episode.mp4", 96, 128, 20.0)
    with pytest.raises(ValueError, match="96, 128, 3"):
        writer.add(np.zeros((10, 10, 3), dtype=np.uint8))
    writer.abort()
    with pytest.raises(ValueError):
        Writer(tmp_path / "odd.mp4", 95, 128, 20.0)


def test_cameras_of_different_sizes_share_a_frame_of_even_size():
    large = np.full((200, 200, 3), 10, dtype=np.uint8)
    small = np.zeros((85, 85, 3), dtype=np.uint8)
    small[:, 80:] = 200
    frame = side_by_side([large, small])
    assert frame.shape == (200, 400, 3) and frame.flags.c_contiguous
    assert (frame[:, :200] == 10).all()
    assert set(np.unique(frame[:, 200:])) == {0, 200}
    assert frame[:, -1].min() == 200 and frame[:, 300].max() == 0
    odd = np.zeros((85, 85, 3), dtype=np.uint8)
    assert side_by_side([odd]).shape == (84, 84, 3)
