"""The SimplerEnv-WidowX adapter against sapien.

Tests of the scenes need SimplerEnv's files (`sources.py`). Pictures need a Vulkan device
(`udvla-eval setup simpler --print-variables` prints the variables of the software one). The
comparison with the benchmark's own code also needs `mani_skill2_real2sim` on `PYTHONPATH`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sims" / "python"))
if importlib.util.find_spec("sapien") is None:
    pytest.skip("`sapien` is not installed here", allow_module_level=True)

import numpy as np  # noqa: E402
from sources import files_of, needs_files  # noqa: E402
from udvla_sims.adapter import SetupError  # noqa: E402
from udvla_sims.simpler import Adapter, devices, shaders  # noqa: E402

PROTOCOL = json.loads((ROOT / "sims" / "protocols" / "simpler-widowx.json").read_text())
SUITE = PROTOCOL["suites"][0]
TASKS = SUITE["details"]["tasks"]
FILES = SUITE["details"]["files"]
NAMES = [task["name"] for task in TASKS]
DATA = files_of("simpler")
needs_scene = needs_files("simpler")


def why_no_device() -> str:
    try:
        devices.choose_device("auto")
    except SetupError as error:
        return f"no Vulkan device: {error}"
    return ""


NO_DEVICE = why_no_device()
needs_pictures = pytest.mark.skipif(bool(NO_DEVICE), reason=NO_DEVICE or "there is a device")
needs_upstream = pytest.mark.skipif(
    importlib.util.find_spec("mani_skill2_real2sim") is None,
    reason="`mani_skill2_real2sim` is not on PYTHONPATH",
)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


def config(scratch: Path, **changes) -> dict:
    found = {"protocol": PROTOCOL, "images": False, "video": False, "scratch": str(scratch)}
    return {**found, "simpler_root": DATA, **changes}


@pytest.fixture(scope="module")
def plain(scratch):
    adapter = Adapter(config(scratch))
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def looking(scratch):
    adapter = Adapter(config(scratch, images=True))
    yield adapter
    adapter.close()


def actions(task: int, trial: int) -> np.ndarray:
    """An episode of jerky motions that sink to the table and close and open the gripper."""
    count = TASKS[task]["max_steps"]
    random = np.random.default_rng(100 * task + trial)
    values = random.uniform(-1, 1, (count, 7)).astype(np.float32)
    values[:, :6] *= np.float32([0.03, 0.03, 0.03, 0.15, 0.15, 0.15])
    values[:, 2] -= 0.008
    values[:, 6] = np.repeat(np.sign(values[:, 6]), 5)[:count]
    return values


class Play:
    """An episode that was played: a hash of all states and outcomes, the pictures on the way."""

    def __init__(self, adapter: Adapter, task: int, trial: int, look: int = 0, script=False):
        adapter.reset("widowx", task, trial)
        digest = hashlib.sha256(adapter.state_bytes())
        self.pictures, self.bits = [], []
        for index, action in enumerate(actions(task, trial)):
            if look and index % look == 0:
                self.pictures.append(adapter.observe().images[0])
            command = adapter.script_action() if script else action
            progress = adapter.step(command, look=bool(look))
            self.bits.append(progress.stage)
            digest.update(adapter.state_bytes() + bytes([progress.stage]))
        assert progress.done and progress.truncated != bool(progress.stage)
        self.notes = adapter.notes()
        self.hash = digest.hexdigest()[:16]

    def pictures_hash(self) -> str:
        return hashlib.sha256(b"".join(map(np.ndarray.tobytes, self.pictures))).hexdigest()[:16]


TRIALS = (0, 7, 17)
GOLDEN_FILES = "fdef452fb596c75f036438aec320c432580584063ac57ef6c72ff1047a9a2e2b"
"""The files that the hashes belong to: tables and eggplant are stand-ins."""
GOLDEN = {
    "spoon": ["951cff9a3f08afda", "fdddc8df4b46d385", "f80f60e8adfbe8ff"],
    "carrot": ["2fd5bba16d519cb6", "7b790eaac85543cd", "27ac098ec737b5ff"],
    "stack": ["ef989cbae1832f54", "a8e833dc54615572", "ddb137033e894db6"],
    "eggplant": ["62c43d7e7ab0fc95", "0df15ac40e002ca4", "35427303a6475ef9"],
}
"""Per task a hash per trial of `TRIALS`: all states and success bits of an episode of random
actions, as the benchmark's own code gives them too (ManiSkill2_real2sim ef7a4d4)."""
GOLDEN_PICTURES = {
    "llvmpipe Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)": {
        "spoon": "8e0a3e067dad8d0e",
        "carrot": "c194972db039cb49",
        "stack": "63f83a86df603ce7",
        "eggplant": "5d1e2a0f4546898a",
    }
}
"""Per driver and task a hash of every twentieth picture of trial 0, likewise."""


def require_golden_files(adapter: Adapter) -> None:
    if adapter.spec.setting["assets_sha256"] != GOLDEN_FILES:
        pytest.skip("simpler: the stored hashes belong to other files than those here")


def driver_of(adapter: Adapter) -> str:
    """The driver alone: vectors of 128 and of 256 bits give the same pictures."""
    return adapter.spec.setting["renderer"].rpartition("), ")[2]


@needs_scene
@pytest.mark.parametrize("task", range(4), ids=NAMES)
def test_states_and_outcomes_are_those_of_the_benchmarks_own_code(plain, task):
    require_golden_files(plain)
    assert [Play(plain, task, trial).hash for trial in TRIALS] == GOLDEN[NAMES[task]]


@needs_scene
@needs_pictures
def test_pictures_are_those_of_the_benchmarks_own_code_with_the_same_driver(looking):
    require_golden_files(looking)
    driver = driver_of(looking)
    if driver not in GOLDEN_PICTURES:
        pytest.skip(f"no stored pictures of the driver {driver}")
    for task, name in enumerate(NAMES):
        played = Play(looking, task, 0, look=20)
        assert played.hash == GOLDEN[name][0]
        assert played.pictures_hash() == GOLDEN_PICTURES[driver][name], name


@needs_scene
@needs_pictures
@needs_upstream
@pytest.mark.parametrize("task", range(4), ids=NAMES)
def test_the_benchmarks_own_code_gives_the_same_hashes(scratch, task):
    adapter = Adapter(config(scratch, images=True, adapter="upstream"))
    ours = Adapter(config(scratch, images=True))
    require_golden_files(ours)
    driver = driver_of(adapter)
    for trial, golden in zip(TRIALS, GOLDEN[NAMES[task]], strict=True):
        played = Play(adapter, task, trial, look=20)
        assert played.hash == golden
        if trial == 0 and driver in GOLDEN_PICTURES:
            assert played.pictures_hash() == GOLDEN_PICTURES[driver][NAMES[task]]
    theirs, own = (Play(one, task, 3, look=10, script=True) for one in (adapter, ours))
    assert theirs.hash == own.hash and theirs.pictures_hash() == own.pictures_hash()
    assert theirs.notes == own.notes and sum(own.bits) > 0
    statistics = adapter.world.statistics
    pairs = {
        "moved_correct_object": "moved_correct_obj",
        "moved_wrong_object": "moved_wrong_obj",
        "source_grasped": "is_src_obj_grasped",
        "consecutive_grasp": "consecutive_grasp",
    }
    assert {name: theirs.notes[name] for name in pairs} == {
        name: bool(statistics[other]) for name, other in pairs.items()
    }
    adapter.close()
    ours.close()


@needs_scene
def test_an_episode_does_not_depend_on_what_ran_before(plain, scratch):
    fresh = {}
    for task in range(4):
        adapter = Adapter(config(scratch))
        fresh[task] = Play(adapter, task, 5).hash
        adapter.close()
    for task in (2, 2, 0, 1, 3, 1, 0):
        assert Play(plain, task, 5).hash == fresh[task], NAMES[task]
    assert len(set(fresh.values())) == 4


@needs_scene
def test_an_episode_left_in_the_middle_leaves_nothing_behind(plain):
    whole = Play(plain, 1, 2).hash
    plain.reset("widowx", 1, 3)
    for action in actions(1, 3)[:9]:
        plain.step(action, look=False)
    assert Play(plain, 1, 2).hash == whole


@needs_scene
def test_an_episode_is_the_same_in_another_process(plain, tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_simpler as t\n"
        "print('hash', t.Play(t.Adapter(t.config(pathlib.Path(sys.argv[2]))), 2, 11).hash)"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"hash {Play(plain, 2, 11).hash}" in answer


@needs_scene
@needs_pictures
def test_pictures_are_drawn_only_when_asked_for_and_change_nothing(plain, looking):
    every, needed = Play(looking, 0, 1, look=1), Play(looking, 0, 1, look=10)
    assert every.hash == needed.hash == Play(plain, 0, 1).hash
    assert every.notes == needed.notes
    for index, picture in enumerate(needed.pictures):
        assert np.array_equal(picture, every.pictures[10 * index]), index
    drawn = []
    original, looking.world.image = looking.world.image, lambda: drawn.append(1)
    Play(looking, 0, 1)
    looking.world.image = original
    assert drawn == []
    assert plain.observe().images == []


def first_pictures(scratch: Path) -> tuple[list[float], list[list[str]]]:
    """CPU seconds of a process's first image, and hashes of 6 renderings, without and with the
    table of `shaders`."""
    seconds, hashes = [], []
    for changed in (True, False):
        if not changed:
            shaders.without_table = lambda scratch: None
        adapter = Adapter(config(scratch, images=True))
        hashes.append([])
        for task in (0, 3):
            adapter.reset("widowx", task, 3)
            for action in actions(task, 3)[:3]:
                before = time.process_time()
                adapter.observe()
                if not hashes[-1]:
                    seconds.append(time.process_time() - before)
                colors = adapter.world._camera._camera.get_float_texture("Color")
                hashes[-1].append(hashlib.sha256(colors.tobytes()).hexdigest())
                adapter.step(action, look=True)
        adapter.close()
    return seconds, hashes


@needs_scene
@needs_pictures
def test_the_table_of_reflections_changes_no_color_and_is_most_of_a_start(looking, tmp_path):
    if "llvmpipe" not in looking.spec.setting["renderer"]:
        pytest.skip("simpler: the shaders are changed for lavapipe alone")
    code = (
        "import sys, pathlib, json; sys.path.insert(0, sys.argv[1]); import test_simpler as t\n"
        "print(json.dumps(t.first_pictures(pathlib.Path(sys.argv[2]))))"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (without, with_table), (changed, own) = json.loads(answer.splitlines()[-1])
    assert changed == own and len(set(own)) == 6
    assert without < 0.6 * with_table, (without, with_table)


def test_shaders_that_are_not_as_expected_are_left_alone(tmp_path, monkeypatch):
    changed = shaders.without_table(tmp_path)
    assert changed is not None and (changed / "deferred.frag").is_file()
    assert not any("BRDFLUT" in path.read_text() for path in changed.iterdir())
    for text in ("", "vec4 a = texture(samplerBRDFLUT, uv);"):
        package = tmp_path / f"package-{len(text)}"
        for folder in ("ibl", "common"):
            (package / "vulkan_shader" / folder).mkdir(parents=True)
        (package / "vulkan_shader" / "ibl" / "deferred.frag").write_text(text)
        found = SimpleNamespace(submodule_search_locations=[str(package)])
        monkeypatch.setattr(shaders.importlib.util, "find_spec", lambda name, found=found: found)
        assert shaders.without_table(tmp_path) is None, text


@needs_scene
@needs_pictures
@pytest.mark.parametrize("task", range(4), ids=NAMES)
def test_a_picture_is_the_photograph_but_for_robot_and_objects(looking, task):
    import cv2

    looking.reset("widowx", task, 0)
    observation = looking.observe()
    (picture,) = observation.images
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert observation.state.shape == (15,) and observation.state.dtype == np.float32
    assert observation.instruction == SUITE["tasks"][task]
    setup = SUITE["details"]["setups"][TASKS[task]["setup"]]
    path = Path(DATA, "data", "real_inpainting", setup["photograph"])
    away = np.abs(picture.astype(int) - cv2.imread(str(path))[..., ::-1]).max(axis=2)
    share = float((away <= 1).mean())
    assert 0.85 < share < 0.99, share


@needs_scene
@pytest.mark.parametrize("task", range(4), ids=NAMES)
def test_the_expert_solves_the_task_and_keeps_it_solved(plain, task):
    for trial in (0, 13):
        played = Play(plain, task, trial, script=True)
        assert played.bits[-1] == 1, trial
        notes = played.notes
        assert notes["success_any"] and notes["source_grasped"] and notes["consecutive_grasp"]
        assert notes["moved_correct_object"] and not notes["moved_wrong_object"]
        assert notes["first_success_step"] == played.bits.index(1) + 1
        assert notes["actions_beyond_bounds"] == 0


@needs_scene
@pytest.mark.parametrize("task", range(4), ids=NAMES)
def test_doing_nothing_fails_at_the_tasks_own_limit(plain, task):
    plain.reset("widowx", task, 0)
    idle = np.array(PROTOCOL["environment"]["idle_action"], dtype=np.float32)
    limit = TASKS[task]["max_steps"]
    assert limit == (120 if NAMES[task] == "eggplant" else 60)
    for step in range(1, limit + 1):
        assert plain.step(idle, look=False) == (0, step == limit, step == limit)
    notes = plain.notes()
    assert "first_success_step" not in notes
    assert not any(notes.values()), notes
    with pytest.raises(RuntimeError, match="over"):
        plain.step(idle, look=False)


@needs_scene
def test_success_that_is_lost_again_is_a_failure_with_a_note(plain):
    plain.reset("widowx", 2, 0)
    bits = []
    while not (bits and bits[-1]):
        bits.append(plain.step(plain.script_action(), look=False).stage)
    first = len(bits)
    # Down again, close, and carry the cube away.
    for step in range(60 - first):
        move = [0, 0, -0.02] if step < 6 else [0, 0, 0] if step < 9 else [0, 0.02, 0.03]
        command = np.array([*move, 0, 0, 0, 1 if step < 6 else -1], dtype=np.float32)
        progress = plain.step(command, look=False)
    assert progress.done and progress.truncated and progress.stage == 0
    assert plain.notes()["success_any"] and plain.notes()["first_success_step"] == first


@needs_scene
def test_repeats_of_a_trial_begin_in_the_same_state(plain):
    plain.reset("widowx", 3, 4)
    once = plain.state_bytes()
    plain.reset("widowx", 3, 24 + 4)
    assert plain.state_bytes() == once
    for suite, task in (("libero", 0), ("widowx", 4)):
        with pytest.raises(ValueError, match="no suite"):
            plain.reset(suite, task, 0)


@needs_scene
def test_a_bad_action_is_refused_with_its_value(plain):
    plain.reset("widowx", 0, 0)
    before = plain.state_bytes()
    for index, value in ((2, np.nan), (0, np.inf), (6, np.nan)):
        action = np.zeros(7, dtype=np.float32)
        action[index] = value
        with pytest.raises(ValueError, match=f"not finite: .*{value}"):
            plain.step(action, look=False)
    with pytest.raises(ValueError, match="7 numbers, not 6"):
        plain.step(np.zeros(6, dtype=np.float32), look=False)
    assert plain.state_bytes() == before


@needs_scene
@pytest.mark.parametrize("value", [1.5, 40.0, 3e38])
def test_an_action_beyond_the_bounds_is_played_as_upstream_does_and_counted(plain, value):
    plain.reset("widowx", 0, 0)
    for index in range(7):
        action = np.zeros(7, dtype=np.float32)
        action[index] = value if index < 3 else 2 * value if value < 1e30 else -value
        plain.step(action, look=False)
    assert plain.notes()["actions_beyond_bounds"] == 7
    assert np.isfinite(np.frombuffer(plain.state_bytes(), dtype="<f4")[:16]).all()
