"""What SimplerEnv's adapter looks for before it starts: files, tables, packages, a device."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("sapien") is None:
    pytest.skip("`sapien` is not installed here", allow_module_level=True)

from test_simpler import DATA, FILES, config, needs_pictures, needs_scene
from udvla_sims.adapter import SetupError
from udvla_sims.simpler import Adapter, devices, files


def test_what_would_crash_is_refused_before_sapien_is_touched(monkeypatch):
    real = importlib.metadata.version
    for package, version, said in (
        ("numpy", "2.2.6", "numpy 2.2.6 crashes"),
        ("sapien", "3.0.3", "sapien 2.2.2, this is 3.0.3"),
    ):
        with monkeypatch.context() as patch:
            answer = {package: version}
            patch.setattr(importlib.metadata, "version", lambda n, a=answer: a.get(n) or real(n))
            with pytest.raises(SetupError, match=said):
                files.package_versions()
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(SetupError, match=r"no wheels for Python .*udvla-eval setup simpler"):
        files.package_versions()


def copied(folder: Path, without: str = "", instead: Path | None = None) -> Path:
    """A checkout of links, with one file left out or replaced."""
    for name in FILES:
        source = Path(DATA, name)
        if name == without and instead is None:
            continue
        source = instead if name == without else source
        if not source.exists():
            source = source.with_suffix(".glb")
        target = folder / Path(name).with_suffix(source.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    return folder


@needs_scene
def test_the_checkout_is_not_written_to(tmp_path):
    # sapien would keep the table's collision mesh there and play other episodes from then on.
    table = "data/hab2_bench_assets/stages/bridge_table_1_v1.glb"
    (tmp_path / "mine.glb").write_bytes(Path(DATA, table).read_bytes())
    root = copied(tmp_path / "root", table, tmp_path / "mine.glb")
    before = set(tmp_path.rglob("*"))
    (scratch := tmp_path / "scratch").mkdir()
    adapter = Adapter(config(scratch, simpler_root=str(root)))
    adapter.reset("widowx", 0, 0)
    adapter.close()
    written = {path for path in set(tmp_path.rglob("*")) - before if scratch not in path.parents}
    assert written == {scratch}


@needs_scene
@pytest.mark.parametrize(
    "name",
    [
        "data/hab2_bench_assets/stages/bridge_table_1_v2.glb",
        "data/custom/models/sink/collision.obj",
        "data/custom/models/eggplant/textured.dae",
        "data/real_inpainting/bridge_sink.png",
    ],
)
def test_a_missing_file_is_named(tmp_path, name):
    root = copied(tmp_path / "ManiSkill2_real2sim", without=name)
    for given in (root, tmp_path):
        with pytest.raises(SetupError, match=rf"lacks `{name}`: .*git checkout"):
            files.find_files(str(given), FILES)


@needs_scene
def test_files_of_another_origin_are_named(tmp_path):
    changed = "data/custom/models/sink/collision.obj"
    other = Path(DATA, "data/custom/models/eggplant/collision.obj")
    known = set(files.find_files(DATA, FILES).foreign)
    found = files.find_files(str(copied(tmp_path, changed, other)), FILES)
    assert set(found.foreign) == {*known, "sink/collision.obj"}


def test_a_wrong_or_absent_root_is_explained(tmp_path):
    for root, said in (
        (None, "--simpler-root"),
        (str(tmp_path / "none"), "is not a folder"),
        (str(tmp_path), "holds no `data/custom/models`"),
    ):
        with pytest.raises(SetupError, match=said):
            files.find_files(root, FILES)


@needs_scene
def test_objects_that_fall_through_the_table_are_an_error_not_a_failure(tmp_path):
    table = "data/hab2_bench_assets/stages/bridge_table_1_v1.glb"
    other = Path(DATA, "data/custom/models/eggplant/textured.glb")
    root = copied(tmp_path / "root", table, other)
    adapter = Adapter(config(tmp_path, simpler_root=str(root)))
    assert "bridge_table_1_v1.glb" in adapter.spec.setting["comparable"]
    with pytest.raises(RuntimeError, match=r"rest at a height of -.*`bridge_table_1_v1.glb`"):
        adapter.reset("widowx", 0, 0)
    with pytest.raises(RuntimeError, match="reset comes first"):
        adapter.observe()


@needs_scene
def test_a_table_that_sapien_cannot_read_is_an_error(tmp_path):
    table = "data/hab2_bench_assets/stages/bridge_table_1_v1.glb"
    (tmp_path / "broken.glb").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    root = copied(tmp_path / "root", table, tmp_path / "broken.glb")
    with pytest.raises(SetupError, match=r"cannot read the table `bridge_table_1_v1.glb`"):
        Adapter(config(tmp_path, simpler_root=str(root)))


@needs_scene
def test_without_a_device_only_what_draws_is_refused(tmp_path, monkeypatch):
    for variable in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(variable, "/nowhere.json")
    monkeypatch.delenv("VK_INSTANCE_LAYERS", raising=False)
    assert Adapter(config(tmp_path)).spec.setting["renderer"] == "none"
    for draws in ({"images": True}, {"video": True}, {"adapter": "upstream"}):
        with pytest.raises(SetupError, match="udvla-eval setup simpler"):
            Adapter(config(tmp_path, **draws))


@needs_pictures
def test_the_renderer_is_the_one_that_was_asked_for():
    software = all(device.software for device in devices.devices())
    with pytest.raises(SetupError, match="--renderer"):
        devices.choose_device("gpu" if software else "lavapipe")
    assert devices.choose_device("lavapipe" if software else "gpu")
    with pytest.raises(SetupError, match="not one of"):
        devices.choose_device("egl")


@needs_pictures
def test_a_card_whose_driver_does_not_render_gives_way_to_lavapipe(monkeypatch):
    works = {name: os.environ[name] for name in os.environ if name.startswith(("VK_", "LP_"))}
    assert devices.working_renderer("gpu", None) == ("gpu", "")
    # A child process renders with the variables of this one.
    name, why = devices.working_renderer("gpu", json.dumps(works))
    assert (name, why) == ("gpu", "sapien starts on the card in a probe")
    for variable in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(variable, "/nowhere.json")
    name, why = devices.working_renderer("gpu", json.dumps(works))
    assert name == "lavapipe" and "does not start on the card: a probe ended with" in why
    assert os.environ["VK_ICD_FILENAMES"] == works["VK_ICD_FILENAMES"]


def test_a_software_driver_that_is_too_old_is_refused(monkeypatch):
    old = devices.Device("llvmpipe (LLVM 15.0.6)", "llvmpipe Mesa 22.3.6 (LLVM)", True)
    monkeypatch.setattr(devices, "devices", lambda: [old])
    with pytest.raises(SetupError, match=r"Mesa 22\.3\.6 lacks what sapien needs; Mesa 25"):
        devices.choose_device("lavapipe")


def test_an_unknown_adapter_is_refused(tmp_path):
    with pytest.raises(SetupError, match="not one of `slim`, `upstream`"):
        Adapter(config(tmp_path, adapter="fast"))


@needs_scene
@needs_pictures
def test_the_benchmarks_code_that_is_not_there_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mani_skill2_real2sim", None)
    with pytest.raises(SetupError, match=r"cannot be imported .*`--adapter slim`"):
        Adapter(config(tmp_path, adapter="upstream"))
