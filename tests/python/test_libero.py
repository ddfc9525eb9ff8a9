"""The LIBERO adapter against the real simulator.

Tests with stand-ins need the environment's packages. Tests with real assets also need
LIBERO's own files (`sources.py`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sims" / "python"))
for _package in ("libero", "robosuite", "mujoco"):
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"`{_package}` is not installed here", allow_module_level=True)

import numpy as np  # noqa: E402
from sources import files_of, needs_files  # noqa: E402
from udvla_sims.adapter import SetupError  # noqa: E402
from udvla_sims.libero import Adapter, stand_ins  # noqa: E402

PROTOCOL = json.loads((ROOT / "sims" / "protocols" / "libero.json").read_text())
DATA = files_of("libero")
IDLE = np.array([0, 0, 0, 0, 0, 0, -1], dtype=np.float32)
real_assets = needs_files("libero")


def config(folder: Path, mode: str = "pinned", assets: str = "stand-ins", **changes) -> dict:
    protocol = json.loads(json.dumps(PROTOCOL))
    protocol["environment"]["reset_mode"] = mode
    found = {"protocol": protocol, "images": False, "video": False, "assets": assets}
    return {**found, "scratch": str(folder), **changes}


def actions(count: int) -> np.ndarray:
    """Jerky motions that reach the floor and open and close the gripper."""
    values = np.random.default_rng(5).uniform(-1, 1, (count, 7)).astype(np.float32)
    values[:, 2] -= 0.6
    return values


def play(adapter: Adapter, suite: str, task: int, trial: int, chunks: int = 3) -> tuple[str, str]:
    """The hashes of the first picture and of the state after some chunks of ten."""
    adapter.reset(suite, task, trial)
    first = hashlib.sha256(b"".join(i.tobytes() for i in adapter.observe().images))
    for index, action in enumerate(actions(10 * chunks)):
        if adapter.step(action, look=index % 10 == 9).done:
            break
    return first.hexdigest(), hashlib.sha256(adapter.state_bytes()).hexdigest()


def in_another_process(scratch: Path, variables: dict[str, str]) -> tuple[str, ...]:
    """The hashes of `play` on a task, in a process of its own with these variables."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_libero as t\n"
        "a = t.Adapter(t.config(pathlib.Path(sys.argv[2]), images=True))\n"
        "print('|'.join(t.play(a, 'object', 3, 7)))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(scratch)]
    variables = {**os.environ, **variables}
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True, env=variables)
    return tuple(answer.stdout.split()[-1].split("|"))


def test_an_episode_does_not_depend_on_what_ran_before(looking):
    alone = play(looking, "object", 3, 7)
    play(looking, "object", 3, 8)
    after_other_trial = play(looking, "object", 3, 7)
    play(looking, "object", 5, 1)
    after_other_task = play(looking, "object", 3, 7)
    assert alone == after_other_trial == after_other_task
    assert play(looking, "object", 3, 8) != alone


def test_an_episode_is_the_same_in_another_process(looking, tmp_path):
    assert in_another_process(tmp_path, {}) == play(looking, "object", 3, 7)


def test_without_pictures_the_states_are_the_same_and_no_graphics_library_is_loaded(
    looking, tmp_path
):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_libero as t\n"
        "a = t.Adapter(t.config(pathlib.Path(sys.argv[2])))\n"
        "print(t.play(a, 'object', 3, 7)[1])\n"
        "print([l for l in open('/proc/self/maps') if 'OSMesa' in l or 'libEGL' in l])"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    state, libraries = answer.strip().splitlines()[-2:]
    assert state == play(looking, "object", 3, 7)[1]
    assert libraries == "[]"


def test_video_frames_change_nothing(looking):
    quiet = play(looking, "object", 0, 0)
    looking.reset("object", 0, 0)
    pictures = hashlib.sha256(b"".join(i.tobytes() for i in looking.observe().images))
    for index, action in enumerate(actions(30)):
        frame = looking.frame()
        looking.step(action, look=index % 10 == 9)
    assert frame.shape == (384, 768, 3) and frame.dtype == np.uint8 and frame.flags["C_CONTIGUOUS"]
    filmed = pictures.hexdigest(), hashlib.sha256(looking.state_bytes()).hexdigest()
    assert filmed == quiet


def test_observations_have_the_shape_that_the_spec_names(looking):
    looking.reset("object", 0, 0)
    seen = looking.observe()
    shapes = [(h, w, 3) for _, h, w in looking.spec.cameras]
    assert [image.shape for image in seen.images] == shapes
    assert all(image.dtype == np.uint8 and image.flags["C_CONTIGUOUS"] for image in seen.images)
    assert seen.state.shape == (len(looking.spec.state),) and seen.state.dtype == np.float32
    assert seen.instruction == "pick up the alphabet soup and place it in the basket"
    assert looking.spec.setting["comparable"] == "no: stand-in assets"


@pytest.mark.parametrize("action", [np.zeros(6), np.full(7, np.nan), np.full(7, np.inf)])
def test_a_malformed_action_is_refused(looking, action):
    looking.reset("object", 0, 0)
    with pytest.raises(ValueError):
        looking.step(action, look=False)


def test_idle_episodes_end_at_the_step_limit_without_success(looking):
    looking.reset("object", 2, 4)
    progress = [looking.step(IDLE, look=False) for _ in range(280)]
    assert not any(p.done for p in progress[:-1])
    assert progress[-1] == (0, True, True)


def test_what_lies_in_the_basket_is_a_success(looking):
    looking.reset("object", 6, 0)
    env = looking._simulation.env
    basket = env.sim.data.body_xpos[env.obj_body_id["basket_1"]]
    joint = env.objects_dict["butter_1"].joints[-1]
    env.sim.data.set_joint_qpos(joint, [basket[0], basket[1], basket[2] + 0.12, 1, 0, 0, 0])
    progress = [looking.step(IDLE, look=False)]
    while not progress[-1].done:
        progress.append(looking.step(IDLE, look=False))
    assert progress[-1] == (1, True, False)
    assert len(progress) < 30


@pytest.mark.parametrize("suite,task", [(s, t) for s in stand_ins.SUITES for t in range(10)])
def test_stand_ins_rest_where_the_stored_states_put_them(tmp_path_factory, looking, suite, task):
    looking.reset(suite, task, 13 + task)
    env = looking._simulation.env
    bodies = list(env.obj_body_id.values())
    before = env.sim.data.body_xpos[bodies].copy()
    for _ in range(20):
        assert looking.step(IDLE, look=False).stage == 0
    moved = np.abs(env.sim.data.body_xpos[bodies] - before).max()
    assert moved < 0.002, f"{moved} m"
    stored = looking._simulation.initial_states[13 + task]
    for name, item in env.objects_dict.items():
        address = env.sim.model.get_joint_qpos_addr(item.joints[-1])[0]
        body = env.sim.data.body_xpos[env.obj_body_id[name]]
        shift = body - stored[1 + address : 4 + address]
        # The stored states let things drop, and start some of them inside the floor.
        assert np.abs(shift).max() < 0.18, f"{name} moved by {shift} m"
        assert np.linalg.norm(shift[:2]) < 0.06, f"{name} slid by {shift} m"


def test_changing_tasks_leaks_no_memory(looking):
    def resident_mib() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    for task in range(3):
        looking.reset("object", task, 0)
    before = resident_mib()
    for task in range(10):
        looking.reset("object", task, 0)
    grown = resident_mib() - before
    assert grown < 60, f"{grown} MiB"


@real_assets
@pytest.mark.parametrize("suite,task", [("spatial", 4), ("object", 0), ("goal", 7), ("long", 2)])
def test_real_scenes_do_not_depend_on_what_ran_before(real, suite, task):
    alone = play(real, suite, task, 5, chunks=2)
    if suite == "goal":  # A stove that was turned on glows; it must be off again.
        real._simulation.env.sim.data.set_joint_qpos("flat_stove_1_button", 1.5)
        real.step(IDLE, look=True)
    play(real, suite, task, 6, chunks=1)
    assert play(real, suite, task, 5, chunks=2) == alone


COMPUTED = (
    *("time", "qpos", "qvel", "qacc", "qacc_warmstart", "ctrl", "sensordata", "ncon", "nefc"),
    *("xpos", "xquat", "xmat", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat", "cam_xpos"),
    *("qM", "qLD", "qfrc_bias", "qfrc_passive", "qfrc_actuator", "actuator_force"),
    *("qfrc_constraint", "qfrc_smooth", "qacc_smooth", "cvel", "cacc", "cfrc_int", "cfrc_ext"),
    *("efc_force", "efc_state", "efc_pos", "efc_aref", "efc_J"),
)
"""Of MuJoCo's data, what a state consists of and what is computed from it."""


def everything(adapter: Adapter) -> dict[str, bytes]:
    """MuJoCo's data, the observables, and what the robot remembers of the last step."""
    env = adapter._simulation.env
    robot = env.robots[0]
    found = {name: getattr(env.sim.data, name) for name in COMPUTED}
    found |= {name: observable.obs for name, observable in env._observables.items()}
    for name in ("ee_forcetorques", "ee_pose", "ee_vel", "ee_acc", "torques", "qpos"):
        found[f"recent_{name}"] = getattr(robot, f"recent_{name}").current
    return {name: np.asarray(value).tobytes() for name, value in found.items()}


def compare_substeps(adapters: list[Adapter], suite: str, task: int, count: int) -> None:
    """Plays the expert, then random actions on adapters of which everything must be equal."""
    for script in (True, False):
        for adapter in adapters:
            adapter.reset(suite, task, 3)
        for index, action in enumerate(actions(count)):
            first, second = map(everything, adapters)
            unequal = [name for name in first if first[name] != second[name]]
            assert not unequal, (suite, task, index, unequal)
            commands = [it.script_action() if script else action for it in adapters]
            assert commands[0].tobytes() == commands[1].tobytes()
            ended = [it.step(commands[0], look=False) for it in adapters]
            assert ended[0] == ended[1]
            assert adapters[0]._simulation.env.reward() == adapters[1]._simulation.env.reward()


def with_substeps(scratch: Path, assets: str, mode: str = "pinned") -> list[Adapter]:
    return [Adapter(config(scratch, mode, assets, substeps=it)) for it in ("merged", "plain")]


def test_merged_substeps_are_equal_to_robosuites_own(looking, tmp_path):
    adapters = with_substeps(tmp_path, "stand-ins")
    for suite, task in (("object", 3), ("spatial", 0)):
        compare_substeps(adapters, suite, task, 15)
    compare_substeps(with_substeps(tmp_path, "stand-ins", "exact"), "object", 3, 5)


@real_assets
def test_merged_substeps_are_equal_with_real_assets(real, tmp_path):
    adapters = with_substeps(tmp_path, DATA)
    for suite, task in (("goal", 7), ("long", 8)):
        compare_substeps(adapters, suite, task, 15)


def test_a_state_that_is_not_finite_is_reset_as_in_plain_substeps(looking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log there.
    adapters = with_substeps(tmp_path, "stand-ins")
    for value in (np.nan, 2e10):
        for name in ("qpos", "qvel"):
            for adapter in adapters:
                adapter.reset("object", 3, 0)
                getattr(adapter._simulation.env.sim.data, name)[-1] = value
                adapter.step(IDLE, look=False)
            first, second = map(everything, adapters)
            assert first == second, (name, value)


def test_a_control_step_computes_positions_once_per_substep(looking, tmp_path, monkeypatch):
    import mujoco

    calls = []
    for name in ("mj_forward", "mj_step", "mj_step2"):
        own = getattr(mujoco, name)
        monkeypatch.setattr(
            mujoco, name, lambda *given, own=own, name=name: (calls.append(name), own(*given))
        )
    counts = []
    for adapter in with_substeps(tmp_path, "stand-ins"):
        adapter.reset("object", 3, 0)
        calls.clear()
        adapter.step(IDLE, look=False)
        counts.append({name: calls.count(name) for name in set(calls)})
    assert counts == [{"mj_step2": 25}, {"mj_forward": 50, "mj_step": 25}]


def test_another_version_of_mujoco_plays_plain_substeps(looking, tmp_path, monkeypatch, capfd):
    import mujoco

    monkeypatch.setattr(mujoco, "__version__", "3.3.0")
    adapter = with_substeps(tmp_path, "stand-ins")[0]
    adapter.reset("object", 3, 0)
    assert adapter._simulation._substeps is None
    assert "robosuite's own, mujoco is 3.3.0, not 3.2.3" in capfd.readouterr().err


def test_a_scene_without_a_free_place_is_an_error_with_its_cause(looking, monkeypatch):
    from robosuite.utils.errors import RandomizationError
    from udvla_sims.libero import simulation

    looking.reset("object", 0, 0)
    tries = []

    def full() -> None:
        tries.append(1)
        raise RandomizationError("Cannot place all objects ):")

    monkeypatch.setattr(looking._simulation.env, "reset", full)
    with pytest.raises(RuntimeError, match=r"no free place.*Cannot place all objects"):
        looking.reset("object", 0, 1)
    assert len(tries) == simulation._MOST_RESETS


@pytest.fixture(scope="module")
def sampling(tmp_path_factory):
    """An adapter that draws its initial states."""
    folder = tmp_path_factory.mktemp("sampling")
    adapter = Adapter(config(folder, images=True, initial_states="sampled", sample_seed="5"))
    yield adapter
    adapter.close()


def initial_state(adapter: Adapter, suite: str, task: int, trial: int) -> bytes:
    adapter.reset(suite, task, trial)
    return adapter.state_bytes()


def test_a_sampled_state_depends_on_seed_and_episode_alone(sampling, tmp_path):
    alone = play(sampling, "object", 7, 300)
    play(sampling, "object", 7, 2)
    play(sampling, "spatial", 0, 300)
    assert play(sampling, "object", 7, 300) == alone
    states = {initial_state(sampling, "object", 7, trial) for trial in (0, 1, 2, 300, 65535)}
    assert len(states) == 5
    changes = {"initial_states": "sampled", "sample_seed": "6"}
    other = Adapter(config(tmp_path, **changes))
    assert initial_state(other, "object", 7, 0) not in states
    other.close()


def test_sampled_states_are_other_states_of_the_stored_kind(sampling):
    sampling.reset("object", 7, 0)
    simulation = sampling._simulation
    stored, states = simulation.initial_states, []
    for trial in range(40):
        simulation.sample(trial)
        states.append(np.asarray(simulation.env.sim.get_state().flatten()))
        assert np.abs(stored - states[-1]).max(1).min() > 1e-4
    drawn = np.array(states)
    assert drawn.shape[1:] == stored.shape[1:]
    # The arm's seven joints, behind the time.
    spread = drawn[:, 1:8].std(0) / stored[:, 1:8].std(0)
    assert ((spread > 0.5) & (spread < 2)).all(), spread


def test_sampled_states_are_marked_and_another_source_is_refused(sampling, tmp_path):
    assert sampling.spec.setting["initial_states"] == "sampled, seed 5"
    assert sampling.spec.setting["comparable"].startswith("no: ")
    with pytest.raises(SetupError, match="`initial_states` is not one of"):
        Adapter(config(tmp_path, initial_states="drawn"))


def test_an_expert_with_more_clearance_carries_higher(tmp_path):
    def highest(**changes: str) -> float:
        adapter = Adapter(config(tmp_path, **changes))
        adapter.reset("object", 7, 0)
        heights = []
        for _ in range(280):
            if adapter.step(adapter.script_action(), look=False).done:
                break
            heights.append(float(adapter.target()[2]))
        assert adapter.solved()
        adapter.close()
        return max(heights)

    assert 0.03 < highest(clearance="0.08") - highest() < 0.1
    with pytest.raises(SetupError, match=r"`clearance` is a number of meters.*not `x`"):
        Adapter(config(tmp_path, clearance="x"))


def test_what_a_step_without_look_would_have_drawn_is_drawn_afterwards(sampling):
    def after(count: int, again: bool) -> tuple[list, bytes, list]:
        sampling.reset("object", 7, 3)
        for index, action in enumerate(actions(count)):
            sampling.step(action, look=not again and index == count - 1)
        if again:
            sampling.look_again()
        seen = [image.tobytes() for image in sampling.observe().images]
        state = sampling.state_bytes()
        sampling.step(IDLE, look=True)
        return seen, state, [image.tobytes() for image in sampling.observe().images]

    for count in (1, 12):
        assert after(count, again=True) == after(count, again=False)


def test_the_target_is_where_the_goals_object_is(sampling):
    sampling.reset("object", 7, 0)
    env = sampling._simulation.env
    place = env.sim.data.get_body_xpos("milk_1_main")
    assert np.abs(sampling.target() - place).max() < 1e-6


def test_what_a_shell_holds_for_other_tools_changes_nothing(looking, tmp_path):
    shell = {"CUDA_VISIBLE_DEVICES": "3", "MUJOCO_EGL_DEVICE_ID": "0", "MUJOCO_GL": "glfw"}
    answer = in_another_process(tmp_path, {**shell, "PYOPENGL_PLATFORM": "egl"})
    assert answer == play(looking, "object", 3, 7)
