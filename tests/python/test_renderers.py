"""LIBERO's renderer is chosen by trying it, and cards are recognized by what they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sims" / "python"))
pytest.importorskip("numpy", reason="`numpy` is not installed here")

from udvla_sims import displays, machine  # noqa: E402
from udvla_sims.adapter import SetupError  # noqa: E402
from udvla_sims.displays import Display  # noqa: E402
from udvla_sims.libero import renderers  # noqa: E402

SOFTWARE = Display(0, 1, "llvmpipe (LLVM 15.0.6, 256 bits)")
OSMESA = Display(renderer="llvmpipe (LLVM 15.0.6, 256 bits)")
NONE = Display(problem="EGL finds no device")


def card(index: int, **facts: object) -> Display:
    return Display(index, 4, f"NVIDIA H{index}", **facts)


def choose(name, found, osmesa=OSMESA, **wishes) -> renderers.Choice:
    return renderers.choose_renderer(name, displays=lambda: found, osmesa=lambda: osmesa, **wishes)


def test_auto_takes_a_card_that_makes_a_context_and_says_which():
    choice = choose("auto", [card(0)._replace(renderer="", problem="no"), card(1), SOFTWARE])
    assert (choice.name, choice.device) == ("egl", 1)
    assert "NVIDIA H1" in choice.why


def test_auto_takes_osmesa_where_egl_is_the_processor_or_does_not_start():
    crashed = Display(problem="the driver ended the process (-11)")
    for found, word in ((SOFTWARE, "llvmpipe"), (NONE, "no device"), (crashed, "-11")):
        choice = choose(None, [found])
        assert (choice.name, choice.device) == ("osmesa", None)
        assert word in choice.why


def test_auto_takes_what_is_left_and_refuses_where_nothing_works():
    missing = Display(problem="libOSMesa is not installed")
    choice = choose("auto", [SOFTWARE], missing)
    assert (choice.name, choice.device) == ("egl", 0)
    assert "libOSMesa is not installed" in choice.why
    with pytest.raises(SetupError, match=r"libOSMesa is not installed.*no device.*libosmesa6"):
        choose("auto", [NONE], missing)


def test_a_named_renderer_is_taken_or_refused_with_the_reason():
    assert choose("egl", [SOFTWARE]).name == "egl"
    assert choose("osmesa", [card(0)]).name == "osmesa"
    with pytest.raises(SetupError, match="EGL finds no device"):
        choose("egl", [NONE])
    with pytest.raises(SetupError, match="`glfw` is not one of"):
        choose("glfw", [card(0)])


def test_cards_are_matched_by_cuda_number_or_bus_address_and_not_by_position(tmp_path, monkeypatch):
    # EGL lists the cards in another order than CUDA.
    cards = [card(0, cuda=3, pci="0000:17:00.0"), card(1, cuda=0, pci="0000:65:00.0"), SOFTWARE]
    assert choose("auto", cards, cards="3").device == 0
    assert choose("auto", cards, cards="0,3").device == 0
    assert choose("egl", cards, cards="0").device == 1
    # A number that no card has here: a container shows one card of eight.
    assert choose("auto", [card(0), SOFTWARE], cards="7").device == 0
    driver = tmp_path / "0000:65:00.0"
    driver.mkdir()
    (driver / "information").write_text("Model: \t H200\nGPU UUID: \t GPU-4fe1a2c0-77aa\n")
    found = renderers.visible_cards("GPU-4fe1,2", str(tmp_path))
    assert found == ({2}, {"0000:65:00.0"})
    monkeypatch.setattr(renderers, "visible_cards", lambda _: found)
    assert choose("auto", cards, cards="GPU-4fe1,2").device == 1


def test_a_card_that_is_asked_for_is_taken_by_its_address_or_refused():
    cards = [card(0, cuda=0, pci="0000:17:00.0"), card(1, cuda=1, pci="0000:65:00.0"), SOFTWARE]
    for name in ("auto", "egl"):
        wishes = {"cards": "0", "egl_device": "0", "card": "0000:65:00.0"}
        assert choose(name, cards, **wishes).device == 1
    with pytest.raises(SetupError, match=r"card at `0000:99:00.0`.*0 .NVIDIA H0, bus 0000:17"):
        choose("auto", cards, card="0000:99:00.0")
    broken = [cards[0], cards[1]._replace(renderer="", problem="no context")]
    with pytest.raises(SetupError, match=r"cannot draw on the card at `0000:65:00.0`: no context"):
        choose("auto", broken, card="0000:65:00.0")
    with pytest.raises(SetupError, match="osmesa"):
        choose("osmesa", cards, card="0000:17:00.0")


def test_calvins_plug_in_gets_the_number_that_egl_gives_to_the_card(monkeypatch):
    pytest.importorskip("pybullet", reason="`pybullet` is not installed here")
    from udvla_sims.calvin import cameras

    shown = [card(0, pci="0000:65:00.0"), card(1, pci="0000:17:00.0")]
    monkeypatch.setenv("EGL_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(cameras, "probe_egl", lambda: (f"H{os.environ['EGL_VISIBLE_DEVICES']}", ""))
    monkeypatch.setattr(cameras, "_plugin", lambda: "plug-in")
    chosen = cameras.choose_renderer("auto", "3", "0000:17:00.0", lambda: shown)
    assert chosen == ("EGL on H1", "plug-in")
    monkeypatch.setattr(cameras, "probe_egl", lambda: (None, "it does not start"))
    for name, text in [("auto", "it does not start"), ("tiny", "uses none")]:
        with pytest.raises(SetupError, match=text):
            cameras.choose_renderer(name, "3", "0000:17:00.0", lambda: shown)


def test_vulkan_and_sapien_are_told_the_card_by_its_address(monkeypatch):
    from udvla_sims.simpler import devices

    shown = [
        devices.Device("NVIDIA H200", "NVIDIA 580", False, "0000:17:00.0"),
        devices.Device("NVIDIA L4", "NVIDIA 580", False, "0000:65:00.0"),
        devices.Device("llvmpipe", "llvmpipe Mesa 25.0.7", True),
    ]
    monkeypatch.setattr(devices, "devices", lambda: shown)
    assert devices.choose_device("auto") == "NVIDIA H200, NVIDIA 580"
    assert devices.choose_device("gpu", "0000:65:00.0") == "NVIDIA L4, NVIDIA 580"
    assert devices.sapiens_name("0000:65:00.0") == "pci:65" and devices.sapiens_name("") == ""
    for renderer, address, text in [
        ("gpu", "0000:01:00.0", "does not show the card"),
        ("lavapipe", "0000:65:00.0", "draws on the processor"),
    ]:
        with pytest.raises(SetupError, match=text):
            devices.choose_device(renderer, address)


def test_an_egl_device_of_the_shell_is_taken_or_refused_with_those_that_work():
    assert choose("auto", [card(0), card(1)], egl_device="1").device == 1
    for number in ("7", "0,1", "x"):
        with pytest.raises(SetupError, match=f"MUJOCO_EGL_DEVICE_ID={number}.*0 .NVIDIA H0"):
            choose("egl", [card(0), card(1)], egl_device=number)


def test_an_egl_device_of_the_shell_forces_no_egl_and_is_named():
    crashed = Display(problem="the driver ended the process (-11)")
    for found in (SOFTWARE, crashed):
        choice = choose("auto", [found], egl_device="1")
        assert choice.name == "osmesa" and "MUJOCO_EGL_DEVICE_ID=1" in choice.why
    with pytest.raises(SetupError, match=r"not installed.*MUJOCO_EGL_DEVICE_ID=1"):
        choose("auto", [crashed], Display(problem="libOSMesa is not installed"), egl_device="1")


def test_what_other_tools_left_in_the_shell_does_not_reach_robosuite(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM", "MUJOCO_GL"):
        monkeypatch.setenv(name, "3")
    renderers.set_variables(None)
    left = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "PYOPENGL_PLATFORM")}
    assert set(left.values()) == {None}
    assert os.environ["MUJOCO_GL"] == "disabled"
    renderers.set_variables(renderers.Choice("egl", 2, "because"))
    assert os.environ["MUJOCO_EGL_DEVICE_ID"] == "2"
    assert os.environ["MUJOCO_GL"] == os.environ["PYOPENGL_PLATFORM"] == "egl"


def test_the_probe_survives_a_driver_that_ends_the_process(monkeypatch, tmp_path):
    script = tmp_path / "displays.py"
    monkeypatch.setattr(displays, "__file__", str(script))
    for text, word in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "-11"),
        ("raise SystemExit('libEGL fatal: no DRI')", "no DRI"),
        ("print('garbage')", "ended"),
        ("import time; time.sleep(60)", "hangs"),
    ):
        script.write_text(text)
        monkeypatch.setattr(displays, "_SECONDS", 2 if word == "hangs" else 60)
        found = displays.probe("egl")
        assert not found.renderer and word in found.problem


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGSEGV)", "time.sleep(60)"])
def test_the_other_devices_are_tried_where_the_first_ends_its_probe(monkeypatch, tmp_path, end):
    script = tmp_path / "displays.py"
    script.write_text(
        "import json, os, signal, sys, time\n"
        "found = {'index': int(sys.argv[2]), 'devices': 2}\n"
        "print(json.dumps(found), flush=True)\n"
        f"if found['index'] == 0: {end}\n"
        "print('a driver says hello')\n"
        "print(json.dumps({**found, 'renderer': 'NVIDIA H1'}))\n"
    )
    monkeypatch.setattr(displays, "__file__", str(script))
    monkeypatch.setattr(displays, "_SECONDS", 2)
    first, second = displays.egl_displays()
    assert first.problem and not first.renderer
    assert (second.index, second.renderer) == (1, "NVIDIA H1")
    choice = renderers.choose_renderer("auto", displays=lambda: [first, second])
    assert (choice.name, choice.device) == ("egl", 1)


def test_the_number_of_devices_is_reported_before_a_device_is_touched(monkeypatch, capsys):
    def crash(*_):
        raise RuntimeError("the driver")

    class Query:
        def __call__(self, _, __, count):
            count._obj.value = 3
            return 1

    monkeypatch.setattr(displays.ctypes, "CDLL", lambda _: SimpleNamespace(eglGetProcAddress=crash))
    monkeypatch.setattr(displays, "_function", lambda *_: Query())
    monkeypatch.setattr(displays, "_cuda", crash)
    with pytest.raises(RuntimeError):
        displays._egl(0)
    assert displays._last_report(capsys.readouterr().out.encode()).devices == 3


def test_the_real_probe_names_a_device_or_a_problem():
    for found in [*displays.egl_displays(), displays.probe("osmesa")]:
        assert bool(found.renderer) != bool(found.problem)


def test_the_kernels_that_run_are_reported():
    facts = machine.facts()
    assert facts["machine.libc"]
    assert facts["blas"].startswith("OpenBLAS ") and len(facts["blas"].split()) >= 3
    assert facts["numpy_kernels"]


def test_kernels_are_found_where_numpy_1_has_the_private_name_of_numpy_2(monkeypatch):
    kernels = machine.numpy_kernels()
    module = sys.modules.get("numpy._core._multiarray_umath")
    module = module or sys.modules["numpy.core._multiarray_umath"]
    numpy = SimpleNamespace(_core=SimpleNamespace(), core=SimpleNamespace(_multiarray_umath=module))
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    assert machine.numpy_kernels() == kernels
