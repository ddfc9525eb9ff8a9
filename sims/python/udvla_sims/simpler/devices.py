"""Vulkan devices: which exist, and which one sapien will render with.

Checked before sapien is loaded: without a usable device it ends the whole process, or renders
nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_ubyte, c_uint32, c_void_p
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError

RENDERERS = ("auto", "gpu", "lavapipe")
_OLDEST_MESA = 25
_SETUP = (
    "`udvla-eval setup simpler` provides a software device, `udvla-eval doctor simpler` says more"
)
_INSTANCE, _APPLICATION = 1, 0
_PROPERTIES_2, _DRIVER, _ADDRESS = 1000059001, 1000196000, 1000212000
_CPU = 4
_UNKNOWN = 0xFFFFFFFF
_ERRORS = {
    -1: "out of memory",
    -3: "VK_ERROR_INITIALIZATION_FAILED: the driver is there, its graphics part does not start",
    -6: "VK_ERROR_LAYER_NOT_PRESENT: a layer named in VK_INSTANCE_LAYERS is not in VK_LAYER_PATH",
    -9: "VK_ERROR_INCOMPATIBLE_DRIVER: no driver",
}


_PROBE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from udvla_sims.simpler.devices import devices
import numpy, sapien.core
if not devices():
    sys.exit("Vulkan finds no device")
renderer = sapien.core.SapienRenderer(offscreen_only=True)
sapien.core.Engine().set_renderer(renderer)
print("probe done", flush=True)
os._exit(0)
"""


class Device(NamedTuple):
    """A Vulkan device."""

    name: str
    driver: str
    """The driver's name and version."""
    software: bool
    """Whether it renders on the CPU."""
    bus: str = ""
    """Its address on the bus; empty where the driver does not tell."""


class _Application(ctypes.Structure):
    _fields_ = (
        *(("type", c_int), ("next", c_void_p), ("name", c_char_p), ("version", c_uint32)),
        *(("engine", c_char_p), ("engine_version", c_uint32), ("api", c_uint32)),
    )


class _Instance(ctypes.Structure):
    _fields_ = (
        *(("type", c_int), ("next", c_void_p), ("flags", c_uint32)),
        *(("application", POINTER(_Application)), ("layers", c_uint32), ("layer", c_void_p)),
        *(("extensions", c_uint32), ("extension", c_void_p)),
    )


class _Driver(ctypes.Structure):
    _fields_ = (
        *(("type", c_int), ("next", c_void_p), ("id", c_int), ("name", c_char * 256)),
        *(("info", c_char * 256), ("conformance", c_ubyte * 4)),
    )


class _Address(ctypes.Structure):
    _fields_ = (
        *(("type", c_int), ("next", c_void_p), ("domain", c_uint32), ("bus", c_uint32)),
        *(("device", c_uint32), ("function", c_uint32)),
    )


class _Properties(ctypes.Structure):
    _fields_ = (
        *(("type", c_int), ("next", c_void_p), ("api", c_uint32), ("version", c_uint32)),
        *(("vendor", c_uint32), ("device", c_uint32), ("kind", c_int), ("name", c_char * 256)),
        # Limits and sparse properties, which are not read.
        ("unused", c_ubyte * 1024),
    )


def devices() -> list[Device]:
    """The devices that Vulkan's loader finds, in its order.

    Raises:
        SetupError: Vulkan's loader is missing or fails.
    """
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError as error:
        raise SetupError("Vulkan's loader is missing: run `apt-get install libvulkan1`") from error
    application = _Application(type=_APPLICATION, api=(1 << 22) | (2 << 12))
    create = _Instance(type=_INSTANCE, application=ctypes.pointer(application))
    instance = c_void_p()
    _accept(vulkan.vkCreateInstance(byref(create), None, byref(instance)))
    try:
        return [_described(vulkan, handle) for handle in _handles(vulkan, instance)]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def working_renderer(renderer: str | None, otherwise: str | None) -> tuple[str | None, str]:
    """The renderer, or lavapipe where sapien does not start on the card, and why.

    Args:
        renderer: as in `choose_device`.
        otherwise: lavapipe's environment variables as JSON, if the harness left the choice to a
            probe; they are set in this process where they are needed.
    """
    if not otherwise:
        return renderer, ""
    problem = _probe_sapien()
    if not problem:
        return renderer, "sapien starts on the card in a probe"
    os.environ.update(json.loads(otherwise))
    return "lavapipe", f"sapien does not start on the card: {problem}"


def _probe_sapien() -> str:
    """Why sapien does not start in a child process with this one's variables; empty if it does."""
    command = [sys.executable, "-I", "-c", _PROBE, str(Path(__file__).parents[2])]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "the driver hangs"
    if child.returncode == 0 and b"probe done" in child.stdout:
        return ""
    words = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return ": ".join([f"a probe ended with {child.returncode}", *words])


def choose_device(renderer: str | None, card: str = "") -> str:
    """Device and driver that will render, if they match the requested renderer.

    Args:
        renderer: one of `RENDERERS`; `auto` (the default) takes sapien's choice, a graphics
            card before the CPU.
        card: the bus address of the card that must be taken.

    Raises:
        SetupError: there is no such device, or its driver is too old for sapien.
    """
    renderer = renderer or "auto"
    if renderer not in RENDERERS:
        raise SetupError(f"the renderer `{renderer}` is not one of `auto`, `gpu`, `lavapipe`")
    available = devices()
    if not available:
        raise SetupError(
            "images need a Vulkan device and there is none: with an NVIDIA card install the "
            "driver's graphics part (in a container NVIDIA_DRIVER_CAPABILITIES=all), libegl1 and "
            f"libxext6; else {_SETUP}"
        )
    cards = [device for device in available if not device.software]
    if renderer == "gpu" and not cards:
        raise SetupError(
            f"`--renderer gpu`, but Vulkan finds only {available[0].name}; "
            "use `--renderer lavapipe`, or see `udvla-eval doctor simpler`"
        )
    if card and renderer == "lavapipe":
        raise SetupError("`--render-device` chooses a card, and lavapipe draws on the processor")
    chosen = _at(card, available) if card else (cards or available)[0]
    if renderer == "lavapipe" and cards:
        raise SetupError(
            f"`--renderer lavapipe`, but Vulkan also finds {chosen.name}, which sapien prefers; "
            "set VK_ICD_FILENAMES to lavapipe's file"
        )
    _check_age(chosen)
    return f"{chosen.name}, {chosen.driver}"


def sapiens_name(card: str) -> str:
    """The card with that bus address as `SapienRenderer` takes it; empty for sapien's choice."""
    return f"pci:{card.split(':')[1]}" if card else ""


def _at(card: str, available: list[Device]) -> Device:
    found = next((device for device in available if device.bus == card.lower()), None)
    if found is None:
        shown = ", ".join(f"{one.name} (bus {one.bus or 'unknown'})" for one in available)
        raise SetupError(f"Vulkan does not show the card at `{card}`; its devices: {shown}")
    return found


def _check_age(device: Device) -> None:
    words = device.driver.replace("-", " ").split()
    version = next((words[i + 1] for i, word in enumerate(words[:-1]) if word == "Mesa"), "")
    major = version.partition(".")[0]
    if device.software and major.isdigit() and int(major) < _OLDEST_MESA:
        raise SetupError(
            f"{device.name} of Mesa {version} lacks what sapien needs; Mesa {_OLDEST_MESA} or "
            f"later has it: {_SETUP}"
        )


def _handles(vulkan: ctypes.CDLL, instance: c_void_p) -> list[c_void_p]:
    count = c_uint32()
    _accept(vulkan.vkEnumeratePhysicalDevices(instance, byref(count), None))
    handles = (c_void_p * count.value)()
    _accept(vulkan.vkEnumeratePhysicalDevices(instance, byref(count), handles))
    return [c_void_p(handle) for handle in handles[: count.value]]


def _described(vulkan: ctypes.CDLL, handle: c_void_p) -> Device:
    address = _Address(type=_ADDRESS, domain=_UNKNOWN)
    driver = _Driver(type=_DRIVER, next=ctypes.addressof(address))
    properties = _Properties(type=_PROPERTIES_2, next=ctypes.addressof(driver))
    vulkan.vkGetPhysicalDeviceProperties2(handle, byref(properties))
    words = [part.decode(errors="replace").strip() for part in (driver.name, driver.info)]
    return Device(
        name=properties.name.decode(errors="replace"),
        driver=" ".join(word for word in words if word) or f"driver {properties.version:#x}",
        software=properties.kind == _CPU,
        bus=""
        if address.domain == _UNKNOWN
        else f"{address.domain:04x}:{address.bus:02x}:{address.device:02x}.{address.function:x}",
    )


def _accept(result: int) -> None:
    """Raises an error with the loader's reason if a call failed."""
    if result >= 0:
        return
    reason = _ERRORS.get(result, f"error {result}")
    if result == -9:
        reason += f"; {_SETUP}"
    raise SetupError(f"Vulkan does not start ({reason})")
