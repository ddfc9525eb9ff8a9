"""`scripts/ray_eval.py` on a cluster of three nodes, which are processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import FAKE, PROGRAM, ROOT
from ray.cluster_utils import Cluster

SCRIPT = ROOT / "scripts/ray_eval.py"
WORDS = ["libero", "--simulator", str(FAKE), "--policy", "random", "--suite", "long", "--workers=1"]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(True, head_node_args={"include_dashboard": False, **NODE})
        yield cluster
        cluster.shutdown()


def start(cluster: Cluster, *words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, "--address", cluster.address, "--interval", "1", *words]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def records(directory: Path) -> int:
    file = directory / "episodes.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def logged(folder: Path) -> tuple[Path, Path]:
    """The program, and a log of its process, of the node that started it, and of its words."""
    log, wrapper = folder / "log", folder / "wrapper"
    wrapper.write_text(
        f"#!/bin/sh\n"
        f"""[ "$1" = status ] || echo "$$ $(awk '{{print $4}}' /proc/$PPID/stat) $*" >> {log}\n"""
        f'exec {PROGRAM} "$@"\n'
    )
    wrapper.chmod(0o755)
    return log, wrapper


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def raylet_of(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def wait_for(condition: Callable[[], Any], driver: subprocess.Popen[str]) -> Any:
    end = time.monotonic() + 300
    while not (found := condition()):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_the_part_of_a_killed_node_is_resumed_elsewhere_and_the_tables_are_a_single_runs(
    cluster, program, tmp_path: Path
) -> None:
    """45 seconds on two idle cores, longer on busy ones."""
    nodes = {raylet_of(node): node for node in (cluster.add_node(**NODE) for _ in range(2))}
    log, wrapper = logged(tmp_path)
    words = [*WORDS, "--trials=3"]
    slow = [*words, "--sim-option=step_ms=8"]
    out = tmp_path / "out"
    driver = start(cluster, "--program", wrapper, "--out", out, "--parts", "3", "--", *slow)

    def begun() -> tuple[Path, Any] | None:
        """A part on one of the nodes without the head's processes."""
        for line in lines(log):
            part = Path(line[line.index("--out") + 1]) if "--out" in line else out
            if int(line[1]) in nodes and records(part) >= 1:
                return part, nodes[int(line[1])]
        return None

    part, node = wait_for(begun, driver)
    cluster.remove_node(node, allow_graceful=False)
    before = (part / "episodes.jsonl").read_text()
    printed, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors
    assert "30 of 30 episodes, 0 errors" in errors
    started = Counter(line[line.index("--out") + 1] for line in lines(log) if "--out" in line)
    assert sorted(started.values()) == [1, 1, 2] and started[str(part)] == 2
    # What was recorded before the node was lost is kept.
    kept = before[: before.rindex("\n") + 1]
    assert kept and (part / "episodes.jsonl").read_text().startswith(kept)
    single = tmp_path / "single"
    ended = program(*words, "--out", single)
    assert ended.returncode == 0, ended.stderr
    tables = [
        program("tables", "--format", "json", "--name", "row", run).stdout
        for run in (single, out / "merged")
    ]
    assert json.loads(tables[0]) and tables[0] == tables[1]
    assert "30 of 30 episodes" in printed


def test_a_refusal_ends_the_driver_with_the_programs_message(cluster, tmp_path: Path) -> None:
    words = [*WORDS, "--suite", "no-such-suite"]
    driver = start(cluster, "--out", tmp_path / "out", "--parts", "2", "--", *words)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 2, errors
    assert "no-such-suite" in errors


def test_an_interrupted_part_goes_on_and_an_interrupted_driver_can_be_started_again(
    cluster, tmp_path: Path
) -> None:
    log, wrapper = logged(tmp_path)
    out = tmp_path / "out"
    words = ["--out", out, "--parts=1", "--", *WORDS, "--trials=2", "--sim-option=step_ms=4"]
    driver = start(cluster, "--program", wrapper, *words)
    wait_for(lambda: records(out / "part-1") >= 1, driver)
    os.kill(int(lines(log)[0][0]), signal.SIGINT)
    wait_for(lambda: len(lines(log)) == 2, driver)
    count = records(out / "part-1")
    wait_for(lambda: records(out / "part-1") > count, driver)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 3 and "the same command continues" in errors
    manifest = json.loads((out / "part-1/run.json").read_text())
    assert manifest["status"] == "interrupted"
    driver = start(cluster, *words)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0 and "20 of 20 episodes" in errors, errors


def test_a_part_that_always_fails_is_an_error_with_its_number(cluster, tmp_path: Path) -> None:
    words = ["--program", "/bin/false", "--retries=1", "--out", tmp_path / "out", "--parts=1"]
    driver = start(cluster, *words, "--", *WORDS)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 1
    assert "error: a part could not be played: part 1/1 ended with 1" in errors


def test_errors_are_no_failure_of_the_part_and_the_exit_code_says_so(
    cluster, tmp_path: Path
) -> None:
    poison = ["--trials=1", "--retries=0", "--sim-option=poison=long-task03-trial000"]
    out = tmp_path / "out"
    driver = start(cluster, "--out", out, "--parts", "2", "--", *WORDS, *poison)
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 4, errors
    assert json.loads((out / "merged/run.json").read_text())["episodes"]["error"] == 1


def test_nothing_is_started_where_a_merged_run_is(tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--parts=2", "--", "libero"]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert ended.returncode == 2 and "remove it" in ended.stderr
