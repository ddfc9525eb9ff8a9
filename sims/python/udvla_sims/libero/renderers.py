"""The choice of LIBERO's renderer, by trying it: EGL on a graphics card, or OSMesa.

Cards are recognized by what they are. The numbers that CUDA, EGL and a scheduler give to a card
differ: EGL counts the cards that a container shows, CUDA those that `CUDA_VISIBLE_DEVICES` leaves.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..adapter import SetupError
from ..displays import Display, display_of, egl_displays, probe

_NAMES = ("auto", "egl", "osmesa")
_SYSTEM_PACKAGES = {
    "osmesa": "libosmesa6",
    "egl": "libegl1 libgl1-mesa-dri (or the NVIDIA driver's EGL library)",
}


class Choice(NamedTuple):
    """A renderer that works here."""

    name: str
    """`egl` or `osmesa`."""
    device: int | None
    """EGL's number of the device."""
    why: str
    """What was found, in a sentence."""


def choose_renderer(
    name: str | None,
    cards: str = "",
    egl_device: str = "",
    card: str = "",
    displays: Callable[[], list[Display]] = egl_displays,
    osmesa: Callable[[], Display] = lambda: probe("osmesa"),
) -> Choice:
    """The renderer of that name on a device that makes a context.

    Args:
        name: `egl`, `osmesa`, or `auto` (the default), which takes EGL on a graphics card, else
            OSMesa, else EGL on the processor.
        cards: the user's `CUDA_VISIBLE_DEVICES`: cards that are preferred.
        egl_device: the user's `MUJOCO_EGL_DEVICE_ID`: the EGL device to take where EGL is taken.
        card: the bus address of the card that must be taken; it comes before both.
        displays: the probe of EGL.
        osmesa: the probe of OSMesa.

    Raises:
        SetupError: another name, or none that works.
    """
    name = name or "auto"
    if name not in _NAMES:
        raise SetupError(f"the renderer `{name}` is not one of `auto`, `egl`, `osmesa`")
    if name == "osmesa" and card:
        raise SetupError("`--render-device` chooses a card, and `--renderer osmesa` uses none")
    if name == "osmesa":
        return _osmesa(osmesa(), "`osmesa` was asked for")
    found = displays()
    working = [display for display in found if display.renderer]
    if card:
        return _egl(display_of(card, found))
    if name == "egl" and not working:
        raise _unusable("egl", found[0].problem)
    if name == "egl" or any(not display.software for display in working):
        display = (
            _numbered(working, egl_device, len(found)) if egl_device else _best(working, cards)
        )
        return _egl(display)
    if working:
        why = f"EGL offers {working[0].renderer} alone, which is the processor"
    else:
        why = f"EGL does not work: {found[0].problem}"
    if egl_device:
        why += f"; `MUJOCO_EGL_DEVICE_ID={egl_device}` chooses among EGL's devices alone"
    if glob.glob("/dev/nvidia[0-9]*"):
        why += (
            "; an NVIDIA card is here, but not its graphics driver (in a container start it with "
            "NVIDIA_DRIVER_CAPABILITIES=all and install libegl1)"
        )
    display = osmesa()
    if working and not display.renderer:
        return Choice("egl", working[0].index, f"{why}; OSMesa does not work: {display.problem}")
    return _osmesa(display, why)


def visible_cards(
    text: str, drivers: str = "/proc/driver/nvidia/gpus"
) -> tuple[set[int], set[str]]:
    """CUDA numbers and bus addresses of the cards in a `CUDA_VISIBLE_DEVICES`.

    Args:
        text: numbers or beginnings of UUIDs, separated by commas; the first unknown one ends it.
        drivers: the driver's folder, with a folder per bus address.
    """
    numbers, addresses = set(), set()
    for word in (word.strip() for word in text.split(",")):
        if word.isdigit():
            numbers.add(int(word))
            continue
        if not word.startswith(("GPU-", "MIG-")):
            break
        for file in Path(drivers).glob("*/information"):
            uuid = file.read_text().partition("GPU UUID:")[2].split("\n")[0].strip()
            if uuid.startswith(word):
                addresses.add(file.parent.name.lower())
    return numbers, addresses


def _best(displays: list[Display], cards: str) -> Display:
    """A card of the user's before another card, and any card before the processor."""
    numbers, addresses = visible_cards(cards)

    def rank(display: Display) -> tuple[bool, bool, int]:
        preferred = display.cuda in numbers or display.pci.lower() in addresses
        return not preferred, display.software, display.index

    return min(displays, key=rank)


def _numbered(working: list[Display], number: str, count: int) -> Display:
    display = next((display for display in working if str(display.index) == number), None)
    if display is None:
        usable = ", ".join(f"{display.index} ({display.renderer})" for display in working)
        raise SetupError(
            f"`MUJOCO_EGL_DEVICE_ID={number}`, but of EGL's {count} devices these work: {usable}; "
            "unset it to let the program choose"
        )
    return display


def _egl(display: Display) -> Choice:
    place = f" (bus {display.pci})" if display.pci else ""
    return Choice("egl", display.index, f"EGL device {display.index} is {display.renderer}{place}")


def _osmesa(display: Display, why: str) -> Choice:
    if not display.renderer:
        raise _unusable("osmesa", f"{display.problem}; {why}")
    return Choice("osmesa", None, why)


def _unusable(renderer: str, problem: str) -> SetupError:
    return SetupError(
        f"the renderer `{renderer}` cannot be used ({problem}); "
        f"run `apt-get install {_SYSTEM_PACKAGES[renderer]}`"
    )


def set_variables(choice: Choice | None) -> None:
    """Sets what MuJoCo, robosuite and PyOpenGL read when they are imported.

    Robosuite 1.4.0 compares the EGL device with `CUDA_VISIBLE_DEVICES`, whose numbers are others;
    with an assertion, even where nothing is rendered.

    Args:
        choice: the renderer; none if nothing will be rendered.
    """
    for name in ("CUDA_VISIBLE_DEVICES", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM"):
        os.environ.pop(name, None)
    os.environ["MUJOCO_GL"] = choice.name if choice else "disabled"
    if choice:
        os.environ["PYOPENGL_PLATFORM"] = choice.name
    if choice and choice.device is not None:
        os.environ["MUJOCO_EGL_DEVICE_ID"] = str(choice.device)


def failed(choice: Choice, error: Exception) -> SetupError:
    """The error for a renderer that worked in the probe and not in this process."""
    return _unusable(choice.name, f"{type(error).__name__}: {error}")
