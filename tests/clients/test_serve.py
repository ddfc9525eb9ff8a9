"""`udvla-eval serve` with the clients it is for: openpi-client and vla-eval from the package index.

Runs in the environment of `scripts/clients.lock`, with pytest from the development tools:
`scripts/test` starts it. The model is the small synthetic checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from vla_eval.connection import Connection

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/python"), str(ROOT / "scripts/peers")]

from sources import files_of, reason  # noqa: E402
from together import CannotError, Together  # noqa: E402

PROGRAM = Path(os.environ.get("UDVLA_EVAL", ROOT / "target/release/udvla-eval"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "nano"
    subprocess.run([PROGRAM, "make-checkpoint", folder], check=True, timeout=120)
    return folder


class Served:
    """A server that has ended, or its address while it runs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.log = ""


@contextmanager
def served(
    protocol: str, checkpoint: Path, *words: str, benchmark: str = "libero"
) -> Iterator[Served]:
    """A server, stopped by Ctrl-C at the end; its log is there afterwards."""
    command = [
        PROGRAM, "serve", "--protocol", protocol, "--benchmark", benchmark, "--port", "0",
        "--device", "cpu", "--denoise-steps", "2", "--checkpoint", checkpoint, *words,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"ws://(\S+)", line)
        assert found, line + process.stderr.read()
        running = Served(found[1])
        yield running
        process.send_signal(signal.SIGINT)
        running.log = process.communicate(timeout=120)[1]
        assert process.returncode == 0, running.log
    finally:
        process.kill()
        process.wait()


def image(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_openpi_client_gets_chunks(checkpoint: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-a-test\n")
    with served("openpi", checkpoint, "--token-file", str(token)) as server:
        host, port = server.address.split(":")
        with urllib.request.urlopen(f"http://{server.address}/healthz", timeout=30) as health:
            assert health.read() == b"OK\n"
        with pytest.raises(Exception, match="401"):
            WebsocketClientPolicy(host, int(port), api_key="another")
        policy = WebsocketClientPolicy(host, int(port), api_key="a-token-of-a-test")
        metadata = policy.get_server_metadata()
        assert metadata["benchmark"] == "libero"
        assert metadata["images"]["observation/wrist_image"] == [256, 256, 3]
        observation = {
            "observation/image": image(224, 1),
            "observation/wrist_image": image(224, 2),
            "observation/state": np.zeros(8),
            "prompt": "pick up the bowl",
        }
        first, second = policy.infer(observation), policy.infer(observation)
        assert first["actions"].dtype == np.float32
        assert first["actions"].shape == (10, 7)
        assert np.isfinite(first["actions"]).all()
        assert set(np.unique(first["actions"][:, 6])) <= {-1.0, 1.0}
        assert first["server_timing"]["infer_ms"] > 0
        # The noise is that of another call.
        assert not np.array_equal(first["actions"], second["actions"])
        again = WebsocketClientPolicy(host, int(port), api_key="a-token-of-a-test")
        assert np.array_equal(again.infer(observation)["actions"], first["actions"])
        with pytest.raises(RuntimeError, match="`prompt` is missing"):
            policy.infer({key: value for key, value in observation.items() if key != "prompt"})
    assert "2 connections, 3 requests, 3 chunks" in server.log, server.log


def test_vla_evals_connection_gets_one_action_per_observation(checkpoint: Path) -> None:
    async def episode(address: str) -> list[np.ndarray]:
        actions = []
        async with Connection(f"ws://{address}", timeout=120) as connection:
            assert connection.server_info["label"] == "vla-eval protocol"
            await connection.start_episode({"task": {"suite": "libero_goal", "task_id": 1}})
            for step in range(12):
                # A colour image is sent as PNG.
                views = {"agentview": image(256, step), "wrist": image(256, 100 + step)}
                seen = {"images": views, "task_description": "open the drawer"}
                actions.append((await connection.act(seen))["actions"])
            await connection.end_episode({"metrics": {"success": False}})
        return actions

    with served("vla-eval", checkpoint) as server:
        with urllib.request.urlopen(f"http://{server.address}/health", timeout=30) as health:
            assert health.read() == b'{"status": "ok"}\n'
        first = anyio.run(episode, server.address)
        again = anyio.run(episode, server.address)
    assert np.array_equal(first, again)
    assert np.shape(first) == (12, 7)
    assert "2 connections, 24 requests, 4 chunks" in server.log, server.log


def test_vla_eval_plays_two_episodes_of_libero(checkpoint: Path, tmp_path: Path) -> None:
    assets = files_of("libero")
    if not assets:
        pytest.skip(reason("libero"))
    try:
        clients = Path(sysconfig.get_path("purelib"))
        together = Together.make(PROGRAM, Path(assets), clients, tmp_path)
    except CannotError as error:
        pytest.skip(str(error))
    with served("vla-eval", checkpoint) as server:
        played = together.vla_eval(f"ws://{server.address}", "libero_object", 2, 12)
    assert played.returncode == 0, played.stdout + played.stderr
    (aggregate,) = (tmp_path / "results").glob("*_aggregate.json")
    told = json.loads(aggregate.read_text())
    assert told["server_info"]["label"] == "vla-eval protocol"
    episodes = told["tasks"][0]["episodes"]
    assert [episode["steps"] for episode in episodes] == [12, 12]
    assert not any(episode.get("failure_reason") for episode in episodes)
    # Twelve steps per episode: a chunk of ten actions, and the first two of the next.
    assert "1 connection, 24 requests, 4 chunks in 4 batches" in server.log, server.log
