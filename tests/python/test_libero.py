"""The LIBERO adapter against the real simulator.

Tests with stand-ins need the environment's packages. Tests with real assets also need
LIBERO's own files (`sources.py`).
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
for _package in ("libero", "robosuite", "mujoco"):
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"`{_package}` is not installed here", allow_module_level=True)

import numpy as np  # noqa: E402
from sources import files_of, needs_files, reason  # noqa: E402
from udvla_sims.adapter import SetupError  # noqa: E402
from udvla_sims.libero import Adapter, assets, stand_ins, tasks  # noqa: E402

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


@pytest.fixture(scope="module")
def looking(tmp_path_factory):
    """An adapter that makes pictures; the first of the process, it decides on the renderer."""
    adapter = Adapter(config(tmp_path_factory.mktemp("looking"), images=True, video=True))
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory, looking):
    """As `looking`, with the real assets."""
    folder = tmp_path_factory.mktemp("real")
    adapter = Adapter(config(folder, assets=DATA, images=True, video=True))
    yield adapter
    adapter.close()


def test_an_episode_does_not_depend_on_what_ran_before(looking):
    alone = play(looking, "object", 3, 7)
    play(looking, "object", 3, 8)
    after_other_trial = play(looking, "object", 3, 7)
    play(looking, "object", 5, 1)
    after_other_task = play(looking, "object", 3, 7)
    assert alone == after_other_trial == after_other_task
    assert play(looking, "object", 3, 8) != alone


def test_an_episode_is_the_same_in_another_process(looking, tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_libero as t\n"
        "a = t.Adapter(t.config(pathlib.Path(sys.argv[2]), images=True, video=False))\n"
        "print('|'.join(t.play(a, 'object', 3, 7)))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert tuple(answer.split()[-1].split("|")) == play(looking, "object", 3, 7)


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


def test_a_checkouts_folder_stands_for_its_assets(tmp_path, looking):
    root = tmp_path / "LIBERO" / "libero" / "libero"
    root.mkdir(parents=True)
    (root / "assets").symlink_to(looking._assets.root)
    adapter = Adapter(config(tmp_path, assets=str(tmp_path / "LIBERO"), suites=["object"]))
    assert adapter._assets.root == root / "assets"
    adapter.close()


def test_a_missing_assets_folder_is_named(tmp_path):
    with pytest.raises(SetupError, match="/no/such/folder"):
        Adapter(config(tmp_path, assets="/no/such/folder"))


def test_missing_assets_are_named(tmp_path):
    (tmp_path / "scenes").mkdir()
    with pytest.raises(SetupError, match=r"lacks \d+ file.*basket.xml.*light-gray-floor-tile.png"):
        Adapter(config(tmp_path, assets=str(tmp_path), suites=["object"]))


@real_assets
def test_a_folder_with_one_complete_suite_serves_that_suite_alone(tmp_path, looking):
    root = Path(DATA)
    for name in assets.required_files(root, looking._tasks["object"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(root / name)
    adapter = Adapter(config(tmp_path, assets=str(tmp_path), suites=[]))
    adapter.reset("object", 0, 0)
    with pytest.raises(SetupError, match="wooden_cabinet"):
        adapter.reset("spatial", 0, 0)
    adapter.close()


def test_stand_ins_cover_every_suite_of_the_protocol():
    assert list(stand_ins.SUITES) == [suite["name"] for suite in PROTOCOL["suites"]]


def test_the_catalog_names_every_file_that_the_real_tasks_open():
    known = json.loads((Path(assets.__file__).parent / "upstream.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{40}", known["commit"])
    names = {suite for file in known["files"].values() for suite in file["suites"]}
    assert names == {suite["name"] for suite in PROTOCOL["suites"]}
    if not DATA:
        pytest.skip(reason("libero"))
    package = tasks.package_root()
    for suite in PROTOCOL["suites"]:
        listed = tasks.suite_tasks(package, suite["details"]["upstream"])
        opened = assets.required_files(Path(DATA), listed)
        assert opened == {
            path for path, file in known["files"].items() if suite["name"] in file["suites"]
        }


@real_assets
def test_an_altered_file_makes_the_results_of_its_suites_not_comparable(tmp_path, looking):
    root = Path(DATA)
    known = json.loads((Path(assets.__file__).parent / "upstream.json").read_text())["files"]
    for path, file in known.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (root / path).read_bytes()
        name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        target.write_bytes(content) if name == file["git"] else target.symlink_to(root / path)
    floor = "textures/light-gray-plaster.png"
    found = assets._foreign(tmp_path, {floor})
    assert found == []
    (tmp_path / floor).write_bytes((tmp_path / floor).read_bytes() + b"\0")
    assert assets._foreign(tmp_path, {floor}) == [floor]
    adapter = Adapter(config(tmp_path, assets=str(tmp_path), suites=["object"]))
    assert adapter.spec.setting["comparable"].startswith("no: other files than LIBERO's: ")
    assert adapter.spec.setting["assets_sha256"] != looking.spec.setting["assets_sha256"]
    adapter.close()


@real_assets
def test_a_git_lfs_pointer_is_named_as_one(tmp_path, looking):
    root = Path(DATA)
    for name in assets.required_files(root, looking._tasks["object"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(root / name)
    texture = tmp_path / "textures" / "light-gray-plaster.png"
    texture.unlink()
    texture.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(SetupError, match=r"LFS pointers instead of .*plaster.png.*git lfs pull"):
        Adapter(config(tmp_path, assets=str(tmp_path), suites=["object"]))


def test_another_package_than_the_protocols_is_refused(tmp_path):
    found = config(tmp_path)
    found["protocol"]["suites"][2]["details"]["files_sha256"] = "0" * 64
    with pytest.raises(SetupError, match="`goal`"):
        Adapter(found)


def test_a_run_that_stored_no_assets_gets_the_stand_ins_and_downloads_nothing(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("HOME", str(tmp_path))
    adapter = Adapter(config(tmp_path, assets=None))
    if adapter.spec.setting["assets"] == "package":
        pytest.skip("this environment carries LIBERO's assets")
    assert adapter.spec.setting["assets"] == "stand-ins"
    assert "stand-ins are used" in capfd.readouterr().err
    assert not (tmp_path / ".cache" / "libero").exists()


def test_initial_states_are_read_without_running_code(tmp_path):
    import pickle
    import zipfile

    path = tmp_path / "evil.pruned_init"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(os.getcwd))
    with pytest.raises(SetupError):
        tasks.initial_states(path)


class Official:
    """The official evaluation loop's calls, eager cameras included."""

    def __init__(self, adapter: Adapter, suite: str, task: int, cameras: bool) -> None:
        import robosuite
        from udvla_sims.libero import runtime

        runtime.use_assets(adapter._assets.root)
        installed = adapter._tasks[suite][task]
        problem, _ = tasks.problem_categories(installed.problem)
        self.states = tasks.initial_states(installed.initial_states)
        self.env = adapter._problems[problem](
            str(installed.problem),
            robots=["Panda"],
            controller_configs=robosuite.load_controller_config(default_controller="OSC_POSE"),
            initialization_noise=None,
            use_camera_obs=cameras,
            has_offscreen_renderer=cameras,
            camera_names=["agentview", "robot0_eye_in_hand"],
            camera_heights=256,
            camera_widths=256,
        )
        self.env.seed(0)

    def reset(self, trial: int) -> None:
        from robosuite.utils.errors import RandomizationError

        while True:
            try:
                self.env.reset()
                break
            except RandomizationError:
                continue
        self.env.sim.set_state_from_flattened(self.states[trial])
        self.env.sim.forward()
        self.env._check_success()
        self.env._post_process()
        self.env._update_observables(force=True)

    def play(self, count: int) -> list[np.ndarray]:
        """Settles, plays, and gives each tenth policy step's front picture, turned."""
        for _ in range(10):
            self.env.step(IDLE.astype(float))
        pictures = []
        for index, action in enumerate(actions(count)):
            seen = self.env.step(action.astype(float))[0]
            if index % 10 == 9:
                pictures.append(seen["agentview_image"][::-1, ::-1])
        return pictures

    def fixtures(self) -> np.ndarray:
        bodies = [self.env.obj_body_id[name] for name in self.env.fixtures_dict]
        return self.env.sim.model.body_pos[bodies].copy()


@real_assets
@pytest.mark.parametrize("suite,task", [("spatial", 7), ("long", 3), ("long", 9)])
def test_reference_mode_has_the_official_streams_fixtures(real, tmp_path, suite, task):
    adapter = Adapter(config(tmp_path, "reference", DATA))
    official = Official(real, suite, task, cameras=False)
    expected = []
    for trial in range(4):
        official.reset(trial)
        expected.append(official.fixtures())
    official.env.close()
    for trial in (3, 0, 2, 1):
        adapter.reset(suite, task, trial)
        env = adapter._simulation.env
        bodies = [env.obj_body_id[name] for name in env.fixtures_dict]
        assert np.array_equal(env.sim.model.body_pos[bodies], expected[trial])
    adapter.close()
    assert not np.array_equal(expected[0], expected[1])


@real_assets
def test_exact_mode_has_the_official_bits_and_pictures(real, tmp_path):
    official = Official(real, "spatial", 7, cameras=True)
    for trial in range(3):
        official.reset(trial)
        pictures = official.play(20)
    state = official.env.sim.get_state().flatten()
    official.env.close()
    folder = DATA
    adapter = Adapter(config(tmp_path, "exact", folder, images=True))
    for _ in range(2):
        adapter.reset("spatial", 7, 2)
        seen = []
        for index, action in enumerate(actions(20)):
            adapter.step(action, look=index % 10 == 9)
            if index % 10 == 9:
                seen.append(adapter.observe().images[0])
        assert adapter.state_bytes() == state.astype("<f8").tobytes()
        assert all(np.array_equal(a, b) for a, b in zip(seen, pictures, strict=True))
    adapter.close()


@real_assets
@pytest.mark.parametrize("suite,task", [("spatial", 4), ("object", 0), ("goal", 7), ("long", 2)])
def test_real_scenes_do_not_depend_on_what_ran_before(real, suite, task):
    alone = play(real, suite, task, 5, chunks=2)
    if suite == "goal":  # A stove that was turned on glows; it must be off again.
        real._simulation.env.sim.data.set_joint_qpos("flat_stove_1_button", 1.5)
        real.step(IDLE, look=True)
    play(real, suite, task, 6, chunks=1)
    assert play(real, suite, task, 5, chunks=2) == alone


@real_assets
def test_the_required_files_are_those_that_mujoco_opens(real):
    for suite, count in (("spatial", 24), ("object", 27), ("goal", 32), ("long", 101)):
        files = assets.required_files(real._assets.root, real._tasks[suite])
        assert sum(not name.endswith(".xml") for name in files) == count, suite


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


def test_what_a_shell_holds_for_other_tools_changes_nothing(looking, tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_libero as t\n"
        "a = t.Adapter(t.config(pathlib.Path(sys.argv[2]), images=True))\n"
        "print('|'.join(t.play(a, 'object', 3, 7)))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    shell = {"CUDA_VISIBLE_DEVICES": "3", "MUJOCO_EGL_DEVICE_ID": "0", "MUJOCO_GL": "glfw"}
    environment = {**os.environ, **shell, "PYOPENGL_PLATFORM": "egl"}
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    assert tuple(answer.stdout.split()[-1].split("|")) == play(looking, "object", 3, 7)
