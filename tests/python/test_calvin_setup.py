"""What CALVIN's adapter looks for before it starts: files, renderer, packages."""

from __future__ import annotations

import importlib.util
import sys

import pytest

if importlib.util.find_spec("pybullet") is None:
    pytest.skip("`pybullet` is not installed here", allow_module_level=True)

from test_calvin import DATA, PROTOCOL, SUBTASKS, SUITE, needs_scene
from udvla_sims.adapter import SetupError
from udvla_sims.calvin import cameras, files


@needs_scene
def test_rules_and_sentences_are_those_of_the_checkout():
    found = files.find_files(DATA, SUITE["details"])
    assert found.sha256 == PROTOCOL["environment"]["data_sha256"]
    for key, value in (("rule", ["stack_objects", 1]), ("instruction", "stack it")):
        changed = {"subtasks": [{**subtask, key: value} for subtask in SUBTASKS]}
        with pytest.raises(SetupError, match="use CALVIN's own files"):
            files.find_files(DATA, changed)
    own = {"subtasks": [{**subtask, "instruction": "go"} for subtask in SUBTASKS]}
    assert files.find_files(DATA, {**own, "annotations": {"name": "file"}}) == found


def test_an_upstream_that_is_not_there_is_explained(tmp_path):
    from udvla_sims.calvin import upstream

    if importlib.util.find_spec("calvin_env") is not None:
        pytest.skip("`calvin_env` is installed here")
    with pytest.raises(SetupError, match="neither installed nor in"):
        upstream.find_upstream(tmp_path)
    package = tmp_path / "calvin_env" / "calvin_env"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import a_package_that_nobody_has\n")
    path = list(sys.path)
    with pytest.raises(SetupError, match="install hydra-core, gym"):
        upstream.find_upstream(tmp_path)
    sys.path[:] = path


def test_a_missing_or_wrong_checkout_is_explained(tmp_path):
    for root, said in (
        (None, "--calvin-root"),
        (str(tmp_path / "none"), "is not a folder"),
        (str(tmp_path), "git submodule update"),
    ):
        with pytest.raises(SetupError, match=said):
            files.find_files(root, SUITE["details"])
    (tmp_path / "calvin_env" / "data" / "blocks").mkdir(parents=True)
    with pytest.raises(SetupError, match="lacks `calvin_table_D`"):
        files.find_files(str(tmp_path), SUITE["details"])


def test_an_egl_that_ends_its_process_is_survived_and_explained(monkeypatch):
    script = "import os; print('failed to EGL with glad.', flush=True); os._exit(1)"
    monkeypatch.setattr(cameras, "_PROBE", script)
    assert cameras.choose_renderer("auto", "3.2.7").plugin is None
    with pytest.raises(SetupError, match=r"code 1 and said `failed to EGL with glad\.`"):
        cameras.choose_renderer("egl", "3.2.7")


def test_a_software_egl_is_refused_unless_it_is_asked_for(monkeypatch):
    script = "print('GL_RENDERER=llvmpipe (LLVM 15, 256 bits)'); print('probe done')"
    monkeypatch.setattr(cameras, "_PROBE", script)
    assert cameras.choose_renderer("auto", "3.2.7").name == "TinyRenderer of pybullet 3.2.7"
    with pytest.raises(SetupError, match=r"software here \(llvmpipe"):
        cameras.choose_renderer("egl", "3.2.7")
    assert cameras.choose_renderer("egl-software", "3.2.7").name.startswith("EGL on llvmpipe")
    with pytest.raises(SetupError, match="not one of"):
        cameras.choose_renderer("vulkan", "3.2.7")
