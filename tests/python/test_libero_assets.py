"""What LIBERO's adapter looks for before it starts: package, assets, initial states."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("libero") is None:
    pytest.skip("`libero` is not installed here", allow_module_level=True)

import mujoco
from sources import reason
from test_libero import DATA, PROTOCOL, Adapter, config, real_assets
from udvla_sims.adapter import SetupError
from udvla_sims.libero import assets, stand_in_objects, stand_ins, tasks
from udvla_sims.libero.shapes import ALONG_Y


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


def _ends(file: Path, axis: int) -> tuple[float, float]:
    """Lowest and highest point of an object's boxes and cylinders along an axis, in meters."""
    model = mujoco.MjModel.from_xml_path(str(file))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    ends = []
    for geom in np.flatnonzero(model.geom_contype):
        size = model.geom_size[geom]
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
            size = np.array([size[0], size[0], size[1]])
        turn = data.geom_xmat[geom].reshape(3, 3)
        reach = float(np.abs(turn[axis]) @ size)
        ends += [data.geom_xpos[geom][axis] - reach, data.geom_xpos[geom][axis] + reach]
    return min(ends), max(ends)


@real_assets
@pytest.mark.parametrize("name", sorted(stand_in_objects._GROCERIES))
def test_a_stand_in_is_as_tall_as_the_real_object(name, tmp_path):
    # The hand takes hold of an object at a depth below its top.
    axis = 1 if stand_in_objects._GROCERIES[name][1] == ALONG_Y else 2
    file = f"stable_hope_objects/{name}/{name}.xml"
    ours, real = (_ends(root / file, axis) for root in (stand_ins.write(tmp_path), Path(DATA)))
    assert ours == pytest.approx(real, abs=0.002)


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


@real_assets
def test_the_required_files_are_those_that_mujoco_opens(real):
    for suite, count in (("spatial", 24), ("object", 27), ("goal", 32), ("long", 101)):
        files = assets.required_files(real._assets.root, real._tasks[suite])
        assert sum(not name.endswith(".xml") for name in files) == count, suite
