"""The CALVIN adapter beside the benchmark's own environment.

Needs `calvin_env` and what it needs (hydra-core, gym, scipy, opencv-python-headless, gitpython) in
the same Python, and CALVIN's files in `UDVLA_TEST_DATA`; see docs/calvin.md.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("pybullet") is None:
    pytest.skip("`pybullet` is not installed here", allow_module_level=True)
if importlib.util.find_spec("calvin_env") is None:
    pytest.skip("`calvin_env` is not installed here", allow_module_level=True)

import numpy as np
from calvin_env.envs.tasks import Tasks
from test_calvin import (
    GOLDEN,
    NAMES,
    ORDER,
    SUBTASKS,
    Adapter,
    actions,
    config,
    golden,
    needs_scene,
)
from udvla_sims.calvin import cameras, rules
from udvla_sims.calvin.upstream import UpstreamScene


@needs_scene
def test_the_benchmarks_environment_gives_the_same_hashes():
    scene = UpstreamScene(draws=True, egl=False)
    hashes = [
        golden(
            trial,
            lambda robot, state: scene.reset(robot, state, "reference"),
            scene.step,
            lambda: (scene.robot_state(), scene.scene_state()),
            lambda: (scene.image("static"), scene.image("gripper")),
        )
        for trial in ORDER
    ]
    scene.close()
    assert hashes == GOLDEN


def observations(adapter: Adapter, trial: int, next_action, steps: int) -> list:
    """Everything that the worker sees of a chain, step by step."""
    adapter.reset("abcd-d", 0, trial)
    seen = []
    for index in range(steps):
        observation = adapter.observe()
        seen.append([image.tobytes() for image in observation.images])
        seen.append((observation.state.tobytes(), observation.instruction, adapter.state_bytes()))
        progress = adapter.step(next_action(adapter, index), look=True)
        seen.append(progress)
        if progress.done:
            break
    return seen


@needs_scene
@pytest.mark.parametrize("mode", ["isolated", "reference"])
def test_both_adapters_show_the_same(mode):
    def chains(name: str) -> list:
        adapter = Adapter(config(mode, images=True, adapter=name))
        assert adapter.spec.setting["adapter"].startswith({"slim": "slim"}.get(name, "calvin_env "))
        seen = []
        for trial in (5, 5, 3):
            jerky = actions(60, trial)
            seen.append(observations(adapter, trial, lambda _, i, a=jerky: a[i], 60))
        adapter.close()
        return seen

    assert chains("slim") == chains("upstream")


@needs_scene
def test_both_adapters_judge_the_expert_alike():
    played: dict[int, list] = {}

    def script(adapter, index, trial):
        played.setdefault(trial, []).append(adapter.script_action())
        return played[trial][-1]

    adapter = Adapter(config())
    seen = [observations(adapter, t, lambda a, i, t=t: script(a, i, t), 2000) for t in range(3)]
    adapter.close()
    upstream = Adapter(config(adapter="upstream"))
    again = [observations(upstream, t, lambda _, i, t=t: played[t][i], 2000) for t in range(3)]
    upstream.close()
    assert again == seen
    assert all(chain[-1].stage > 0 for chain in seen)


def egl_hash(name: str) -> str:
    """The hash of all that a chain shows with EGL, which starts once in a process."""
    adapter = Adapter(config("reference", images=True, adapter=name, renderer="egl-software"))
    jerky = actions(30, 4)
    seen = observations(adapter, 4, lambda _, index: jerky[index], 30)
    return hashlib.sha256(repr(seen).encode()).hexdigest()


@needs_scene
def test_both_adapters_show_the_same_with_egl():
    if cameras.probe_egl()[0] is None:
        pytest.skip(f"no EGL here: {cameras.probe_egl()[1]}")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_calvin_upstream as t\n"
        "print('hash', t.egl_hash(sys.argv[2]))"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    answers = [
        subprocess.run([*words, name], capture_output=True, text=True, check=True).stdout
        for name in ("slim", "upstream")
    ]
    hashes = [line for text in answers for line in text.splitlines() if line[:5] == "hash "]
    assert len(hashes) == 2 and hashes[0] == hashes[1], hashes


BODIES = {"robot": 0, "block_red": 2, "block_blue": 3, "block_pink": 4, "table": 5}
LINKS = {"base_link": -1, "button_link": 0, "drawer_link": 3, "plank_link": 6, "slide_link": 2}


def random_snapshot(random: np.random.Generator, before: rules.Snapshot | None):
    """A snapshot, often near to the one before, as it were a moment later."""
    blocks = {}
    for name in ("block_red", "block_blue", "block_pink"):
        angles = random.normal(0, [10, 10, 60])
        place = random.normal(0, 0.08, 3)
        if before is not None:
            place += before.blocks[name].position
        links = [(BODIES["table"], link) for link in LINKS.values()]
        others = [(body, -1) for body in (0, 2, 3, 4) if body != BODIES[name]]
        pairs = links + others + [(0, 10), (0, 12)]
        picked = random.choice(len(pairs), size=random.integers(0, 3), replace=False)
        touching = {pairs[index] for index in picked}
        if before is not None and random.random() < 0.4:
            touching |= before.blocks[name].touching
        turn = rotation(angles)
        speeds = random.normal(0, random.choice([0.1, 1.5]), 6)
        blocks[name] = rules.Block(place, turn, speeds, touching)
    touched = {body for body in (2, 3, 4, 5) if random.random() < 0.35}
    doors = {"base__slide": random.normal(0, 0.2), "base__drawer": random.normal(0, 0.2)}
    lights = {name: int(random.integers(2)) for name in ("lightbulb", "led")}
    return rules.Snapshot(blocks, doors, lights, touched, BODIES, LINKS)


def rotation(angles: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()


def as_info(snapshot: rules.Snapshot) -> dict:
    """The same moment as `calvin_env` writes it."""
    from scipy.spatial.transform import Rotation

    def contacts(pairs):
        return [(0, 0, body, 0, link) for body, link in pairs]

    movable = {
        name: {
            "current_pos": block.position,
            "current_orn": Rotation.from_matrix(block.rotation).as_quat(),
            "current_lin_vel": block.velocity[:3],
            "current_ang_vel": block.velocity[3:],
            "contacts": contacts(block.touching),
            "uid": BODIES[name],
        }
        for name, block in snapshot.blocks.items()
    }
    touched = [(body, -1) for body in snapshot.robot_touching]
    return {
        "robot_info": {"uid": BODIES["robot"], "contacts": contacts(touched)},
        "scene_info": {
            "movable_objects": movable,
            "fixed_objects": {"table": {"uid": BODIES["table"], "links": LINKS}},
            "doors": {name: {"current_state": value} for name, value in snapshot.doors.items()},
            "lights": {name: {"logical_state": on} for name, on in snapshot.lights.items()},
        },
    }


def test_every_rule_answers_as_the_benchmarks_own_does():
    random = np.random.default_rng(0)
    oracle = Tasks({subtask["name"]: subtask["rule"] for subtask in SUBTASKS})
    met = dict.fromkeys(NAMES, 0)
    for _ in range(10_000):
        start = random_snapshot(random, None)
        now = random_snapshot(random, start)
        expected = oracle.get_task_info(as_info(start), as_info(now))
        for subtask in SUBTASKS:
            name = subtask["name"]
            found = rules.holds(subtask["rule"], start, now)
            assert found == (name in expected), (name, start, now)
            met[name] += found
    assert min(met.values()) >= 3, met
