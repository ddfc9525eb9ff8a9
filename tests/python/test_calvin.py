"""The CALVIN adapter against pybullet.

Tests of the scene need CALVIN's files (`sources.py`).
`test_calvin_upstream.py` compares with the benchmark's own environment.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sims" / "python"))
if importlib.util.find_spec("pybullet") is None:
    pytest.skip("`pybullet` is not installed here", allow_module_level=True)

import calvin_generator  # noqa: E402
import numpy as np  # noqa: E402
from sources import files_of, needs_files  # noqa: E402
from udvla_sims.adapter import SetupError  # noqa: E402
from udvla_sims.calvin import Adapter, sequences  # noqa: E402

PROTOCOL = json.loads((ROOT / "sims" / "protocols" / "calvin-abcd-d.json").read_text())
SUITE = PROTOCOL["suites"][0]
SUBTASKS = SUITE["details"]["subtasks"]
NAMES = [subtask["name"] for subtask in SUBTASKS]
LIST = SUITE["details"]["sequences"]["list"]
CHAINS = sequences.decode(LIST, NAMES)
DATA = files_of("calvin")
needs_scene = needs_files("calvin")


def config(mode: str = "isolated", **changes) -> dict:
    protocol = json.loads(json.dumps(PROTOCOL))
    protocol["environment"]["reset_mode"] = mode
    found = {"protocol": protocol, "images": False, "video": False, "renderer": "tiny"}
    return {**found, "calvin_root": DATA, "scratch": "/nowhere", **changes}


def actions(count: int, seed: int = 0) -> np.ndarray:
    """Jerky motions that reach the table and open and close the gripper."""
    random = np.random.default_rng(seed)
    values = random.uniform(-1, 1, (count, 7)).astype(np.float32)
    values[:, 2] -= 0.3
    values[:, 6] = np.repeat(np.sign(random.uniform(-1, 1, count // 10 + 1)), 10)[:count]
    return values


def play(adapter: Adapter, trial: int, steps: int = 40, look: int = 0) -> str:
    """The hash of all states on the way; a picture is drawn every `look` steps."""
    adapter.reset("abcd-d", 0, trial)
    digest = hashlib.sha256(adapter.state_bytes())
    for index, action in enumerate(actions(steps, trial)):
        if adapter.step(action, look=bool(look)).done:
            break
        if look and index % look == 0:
            adapter.observe()
        digest.update(adapter.state_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def plain():
    adapter = Adapter(config())
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def looking():
    adapter = Adapter(config(images=True, video=True))
    yield adapter
    adapter.close()


ORDER = (0, 1, 2, 2)
GOLDEN = ["969f4362522edcaa", "3af4af22bf77f63c", "4a0ea94daec4f2b8", "1464c3ea230c0236"]
"""A hash per chain of `ORDER`: states after every step and pictures after every twentieth, as the
benchmark's own environment gives them too (calvin_env 797142c, gym 0.26.2, TinyRenderer)."""


def golden(trial: int, reset, step, states, pictures) -> str:
    """The hash of a chain of 100 random actions."""
    digest = hashlib.sha256()
    robot, scene = sequences.start_of(CHAINS[trial][0])
    reset(robot, scene)
    for index, action in enumerate(actions(100, trial)):
        for state in states():
            digest.update(state.tobytes())
        for picture in pictures() if index % 20 == 0 else []:
            digest.update(np.ascontiguousarray(picture).tobytes())
        step(action)
    return digest.hexdigest()[:16]


def own_hashes() -> list[str]:
    """Those of this adapter in the reference mode."""
    adapter = Adapter(config("reference", images=True))
    adapter._build()
    scene, cameras = adapter._scene, adapter._cameras
    hashes = [
        golden(
            trial,
            lambda robot, state: scene.reset(robot, state, "reference"),
            scene.step,
            lambda: (scene.robot_state(), scene.scene_state()),
            cameras.images,
        )
        for trial in ORDER
    ]
    adapter.close()
    return hashes


@needs_scene
def test_states_and_pictures_are_those_of_the_benchmarks_environment():
    assert own_hashes() == GOLDEN


def test_the_list_is_calvins_own_to_the_byte():
    text = json.dumps(CHAINS, indent=4)
    assert hashlib.md5(text.encode()).hexdigest() == "dd9695b40bec35035451a1e3610bca51"
    digest = hashlib.sha256(json.dumps(CHAINS).encode()).hexdigest()
    assert digest == SUITE["details"]["sequences"]["sha256"]
    assert calvin_generator.encode(CHAINS, NAMES) == LIST


def test_the_authors_list_is_theirs_to_the_byte():
    """The list of `--sequences udvla-2026-01`: entries of January 2026 are copies of later ones."""
    source = (ROOT / "sims" / "src" / "sequences.rs").read_text()
    replaced, copied = (
        [
            int(entry)
            for entry in re.findall(r"\d+", re.search(rf"{name}: [^=]*=([^;]*);", source)[1])
        ]
        for name in ("REPLACED", "COPIED")
    )
    assert len(replaced) == len(copied) == 18
    chains = list(CHAINS)
    for index, source_index in zip(replaced, copied, strict=True):
        chains[index] = CHAINS[source_index]
    text = json.dumps(chains, indent=4)
    assert hashlib.md5(text.encode()).hexdigest() == "b6a5bafdd66d48df2ec10b5773e6ee03"


def test_the_generator_draws_the_lists_chains():
    listed = [(json.dumps(state), tuple(names)) for state, names in CHAINS]
    for drawn in calvin_generator.draw(1000, NAMES, states=2):
        assert len(drawn) == 6
        assert all((json.dumps(state), tuple(names)) in listed for state, names in drawn)


@pytest.mark.skipif(
    "UDVLA_TEST_SLOW" not in os.environ, reason="calvin: takes minutes (UDVLA_TEST_SLOW=1)"
)
def test_the_generator_draws_the_whole_list():
    parts = calvin_generator.draw(1000, NAMES)
    whole = calvin_generator.shuffled([chain for part in parts for chain in part])
    assert calvin_generator.encode(whole, NAMES) == LIST


def test_initial_states_are_calvins_to_the_bit():
    states = {json.dumps(state): state for state in sequences.initial_states()}
    assert len(states) == 192
    scenes = [sequences.start_of(states[key])[1].tobytes() for key in sorted(states)]
    digest = hashlib.sha256(b"".join(scenes)).hexdigest()
    assert digest.startswith("2fa29e3b8da9841e"), digest


def test_every_chain_of_the_list_is_possible_and_others_are_explained():
    assert [sequences.impossible(chain) for chain in CHAINS] == [None] * 1000
    state, names = CHAINS[0]
    twice = (state, [names[0], "move_slider_right", "move_slider_right", *names[3:]])
    assert "`move_slider_right` cannot be done" in sequences.impossible(twice)
    crowded = ({**state, "red_block": "slider_right"}, names)
    assert "192" in sequences.impossible(crowded)


@needs_scene
def test_a_list_with_an_impossible_chain_is_refused_with_its_index():
    protocol = json.loads(json.dumps(PROTOCOL))
    words = LIST.split()
    letter = sequences.LETTERS[NAMES.index("move_slider_left")]
    words[3] = words[3][:8] + 5 * letter
    protocol["suites"][0]["details"]["sequences"]["list"] = " ".join(words)
    with pytest.raises(SetupError, match=r"sequence 3 of `canonical`: .* cannot be done there"):
        Adapter(config(protocol=protocol))


@needs_scene
def test_a_chain_does_not_depend_on_what_ran_before(plain):
    fresh = {}
    for trial in range(3):
        adapter = Adapter(config())
        fresh[trial] = play(adapter, trial)
        adapter.close()
    for trial in (2, 2, 0, 1, 1, 0, 2):
        assert play(plain, trial) == fresh[trial], trial
    assert len(set(fresh.values())) == 3


@needs_scene
def test_the_reference_mode_keeps_what_the_engine_remembers(plain):
    adapter = Adapter(config("reference"))
    first, again, third = (play(adapter, 2) for _ in range(3))
    adapter.close()
    assert first == play(plain, 2), "the first chain of a process is the isolated one"
    assert len({first, again, third}) == 3


@needs_scene
def test_a_chain_is_the_same_in_another_process(plain):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_calvin as t\n"
        "print('hash', t.play(t.Adapter(t.config()), 7))"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"hash {play(plain, 7)}" in answer


@needs_scene
def test_pictures_are_drawn_only_when_asked_for_and_change_nothing(plain, looking):
    assert play(looking, 4, look=5) == play(plain, 4)
    drawn = []
    pictures, looking._cameras.images = looking._cameras.images, lambda: drawn.append(1) or []
    play(looking, 4)
    looking._cameras.images = pictures
    assert drawn == []
    assert plain.observe().images == []


@needs_scene
def test_observation_has_the_protocols_shapes(looking):
    looking.reset("abcd-d", 0, 0)
    observation = looking.observe()
    shapes = [
        (camera["height"], camera["width"], 3) for camera in PROTOCOL["environment"]["cameras"]
    ]
    assert [image.shape for image in observation.images] == shapes
    assert all(image.flags.c_contiguous for image in observation.images)
    assert observation.state.shape == (15,) and observation.state.dtype == np.float32
    assert observation.instruction == "take the blue block and rotate it to the right"
    assert looking.frame().shape == (200, 400, 3)


@needs_scene
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({6: 0.5}, "not 0.5"),
        ({6: 0.0}, "not 0.0"),
        ({2: np.nan}, "not finite"),
        ({0: np.inf}, "not finite"),
    ],
)
def test_a_bad_action_is_refused_with_its_value(plain, change, said):
    plain.reset("abcd-d", 0, 0)
    action = np.array([0, 0, 0, 0, 0, 0, 1], dtype=np.float32)
    for index, value in change.items():
        action[index] = value
    with pytest.raises(ValueError, match=said):
        plain.step(action, look=False)
    with pytest.raises(ValueError, match="7 numbers"):
        plain.step(action[:6], look=False)


@needs_scene
def test_doing_nothing_ends_a_chain_at_the_limit_of_its_first_stage(plain):
    plain.reset("abcd-d", 0, 0)
    idle = np.array(PROTOCOL["environment"]["idle_action"], dtype=np.float32)
    for step in range(1, 361):
        progress = plain.step(idle, look=False)
        assert progress == (0, step == 360, step == 360)
    with pytest.raises(RuntimeError, match="over"):
        plain.step(idle, look=False)


SIDES = ("left", "right")
SOLVED_KINDS = [
    *("turn_on_led", "turn_off_led", "turn_on_lightbulb", "turn_off_lightbulb"),
    *("open_drawer", "close_drawer", "move_slider_left", "move_slider_right"),
    *(f"push_{colour}_block_{side}" for colour in ("red", "blue", "pink") for side in SIDES),
    *(f"rotate_{colour}_block_{side}" for colour in ("red", "blue", "pink") for side in SIDES),
    *(f"lift_{colour}_block_table" for colour in ("red", "blue", "pink")),
    "push_into_drawer",
]


@needs_scene
@pytest.mark.parametrize("name", SOLVED_KINDS)
def test_the_expert_solves_a_sub_task_that_begins_a_chain(plain, name):
    trial = next(index for index, (_, names) in enumerate(CHAINS) if names[0] == name)
    plain.reset("abcd-d", 0, trial)
    for _ in range(200):
        if plain.step(plain.script_action(), look=False).stage == 1:
            return
    pytest.fail(f"chain {trial} still at its first sub-task after 200 steps")


@needs_scene
def test_stages_follow_one_another_without_a_reset(plain):
    trial = next(i for i, (_, names) in enumerate(CHAINS) if set(names[:2]) < set(SOLVED_KINDS))
    plain.reset("abcd-d", 0, trial)
    stages, before = [], None
    while len(stages) < 2:
        before = plain.state_bytes()
        progress = plain.step(plain.script_action(), look=False)
        assert not progress.done
        if progress.stage > len(stages):
            stages.append(progress.stage)
            assert plain.state_bytes() != before
            state = plain.state_bytes()
            words = plain.observe().instruction
            assert words == SUBTASKS[NAMES.index(CHAINS[trial][1][progress.stage])]["instruction"]
            assert plain.state_bytes() == state
    assert stages == [1, 2]
