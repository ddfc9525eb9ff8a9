"""Makes an OpenGL context without a window, and says on which device: the probe of a renderer.

Run as a script in a process of its own, because a broken driver ends the process that tries it:
`displays.py egl INDEX` or `displays.py osmesa` prints the fields of `Display` as a line of JSON.
For EGL it does so before it touches the device as well, so that the number of devices is known if
that ends it.
Run so, it needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from typing import NamedTuple

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")
_SECONDS = 60
_GL_RENDERER = 0x1F01
_PLATFORM_DEVICE, _EXTENSIONS, _OPENGL_API = 0x313F, 0x3055, 0x30A2
_DRM_FILE, _CUDA_DEVICE = 0x3233, 0x323A
# 8 bits per color, depth 24, stencil 8, off-screen, OpenGL; as robosuite asks for.
_CONFIG = (
    *(0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3021, 8, 0x3025, 24, 0x3026, 8),
    *(0x303F, 0x308E, 0x3033, 0x0001, 0x3040, 0x0008, 0x3038),
)
_OSMESA_RGBA = 0x1908


class Display(NamedTuple):
    """What a probe found."""

    index: int = 0
    """EGL's number of the device."""
    devices: int = 0
    """Number of EGL devices."""
    renderer: str = ""
    """OpenGL's name of the device; empty where no context can be made."""
    problem: str = ""
    """Why there is none."""
    cuda: int | None = None
    """CUDA's number of the device."""
    pci: str = ""
    """Its address on the bus, for example `0000:17:00.0`."""

    @property
    def software(self) -> bool:
        """Whether the processor renders."""
        return any(word in self.renderer.lower() for word in SOFTWARE)


def probe(kind: str, index: int = 0) -> Display:
    """The display of a child process.

    Args:
        kind: `egl` or `osmesa`.
        index: EGL's number of the device.
    """
    command = [sys.executable, "-I", __file__, kind, str(index)]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as expired:
        printed, problem = expired.stdout or b"", f"the driver hangs ({_SECONDS} s)"
    else:
        words = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
        problem = ": ".join([f"the driver ended the process ({child.returncode})", *words])
        printed = child.stdout
    found = _last_report(printed) or Display(index)
    return found if found.renderer or found.problem else found._replace(problem=problem)


def _last_report(printed: bytes) -> Display | None:
    """The last line that a probe reported; drivers print as well."""
    for line in reversed(printed.decode(errors="replace").splitlines()):
        try:
            return Display(**json.loads(line))
        except (ValueError, TypeError):
            continue
    return None


def egl_displays() -> list[Display]:
    """A display per EGL device; one with a problem where there is no device."""
    first = probe("egl")
    return [first, *(probe("egl", index) for index in range(1, first.devices))]


def display_of(card: str, displays: list[Display]) -> Display:
    """The display of the card with that bus address, for example `0000:17:00.0`.

    Raises:
        SetupError: EGL does not show it, or it makes no context.
    """
    from udvla_sims.adapter import SetupError

    found = next((display for display in displays if display.pci.lower() == card.lower()), None)
    if found is None:
        shown = ", ".join(
            f"{one.index} ({one.renderer or one.problem}, bus {one.pci or 'unknown'})"
            for one in displays
        )
        raise SetupError(f"EGL does not show the card at `{card}`; its devices: {shown}")
    if not found.renderer:
        raise SetupError(f"EGL cannot draw on the card at `{card}`: {found.problem}")
    return found


def _egl(index: int) -> Display:
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = c_void_p
    devices, count = (c_void_p * 64)(), c_int()
    query = _function(egl, "eglQueryDevicesEXT", c_uint, c_int, c_void_p, c_void_p)
    if not query(len(devices), devices, byref(count)) or count.value == 0:
        return Display(index, problem="EGL finds no device")
    if index >= count.value:
        return Display(index, count.value, problem=f"EGL has {count.value} devices")
    _report(Display(index, count.value))
    device = devices[index]
    found = Display(index, count.value, cuda=_cuda(egl, device), pci=_pci(egl, device))
    get_display = _function(egl, "eglGetPlatformDisplayEXT", c_void_p, c_uint, c_void_p, c_void_p)
    display = c_void_p(get_display(_PLATFORM_DEVICE, device, None))
    if not display or not egl.eglInitialize(display, None, None):
        return found._replace(
            problem=f"the device does not start (EGL error {egl.eglGetError():#x})"
        )
    config, configs = c_void_p(), c_int()
    attributes = (c_int * len(_CONFIG))(*_CONFIG)
    egl.eglChooseConfig(display, attributes, byref(config), 1, byref(configs))
    egl.eglBindAPI(_OPENGL_API)
    create = _function(egl, "eglCreateContext", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
    context = create(display, config, None, None) if configs.value else None
    if not context or not egl.eglMakeCurrent(display, None, None, c_void_p(context)):
        return found._replace(problem=f"it makes no context (EGL error {egl.eglGetError():#x})")
    get_string = _function(egl, "glGetString", c_char_p, c_uint)
    return found._replace(renderer=(get_string(_GL_RENDERER) or b"unknown").decode())


def _osmesa() -> Display:
    names = ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")
    library = next((found for name in names if (found := _loaded(name))), None)
    if library is None:
        return Display(problem="libOSMesa is not installed")
    library.OSMesaCreateContextExt.restype = c_void_p
    context = library.OSMesaCreateContextExt(_OSMESA_RGBA, 24, 0, 0, None)
    pixels = (ctypes.c_ubyte * (64 * 64 * 4))()
    if not context or not library.OSMesaMakeCurrent(c_void_p(context), pixels, 0x1401, 64, 64):
        return Display(problem="OSMesa makes no context")
    library.OSMesaGetProcAddress.restype = c_void_p
    address = library.OSMesaGetProcAddress(b"glGetString")
    name = ctypes.CFUNCTYPE(c_char_p, c_uint)(address)(_GL_RENDERER)
    return Display(renderer=(name or b"unknown").decode())


def _function(egl: ctypes.CDLL, name: str, result: type, *arguments: type) -> ctypes._FuncPointer:
    address = egl.eglGetProcAddress(name.encode())
    if not address:
        raise OSError(f"EGL has no `{name}`")
    return ctypes.CFUNCTYPE(result, *arguments)(address)


def _has(egl: ctypes.CDLL, device: int, extension: str) -> bool:
    text = _function(egl, "eglQueryDeviceStringEXT", c_char_p, c_void_p, c_int)(device, _EXTENSIONS)
    return extension in (text or b"").decode().split()


def _cuda(egl: ctypes.CDLL, device: int) -> int | None:
    if not _has(egl, device, "EGL_NV_device_cuda"):
        return None
    number = c_void_p()
    read = _function(egl, "eglQueryDeviceAttribEXT", c_uint, c_void_p, c_int, POINTER(c_void_p))
    return (number.value or 0) if read(device, _CUDA_DEVICE, byref(number)) else None


def _pci(egl: ctypes.CDLL, device: int) -> str:
    if not _has(egl, device, "EGL_EXT_device_drm"):
        return ""
    file = _function(egl, "eglQueryDeviceStringEXT", c_char_p, c_void_p, c_int)(device, _DRM_FILE)
    link = f"/sys/class/drm/{os.path.basename((file or b'').decode())}/device"
    return os.path.basename(os.path.realpath(link)) if file and os.path.exists(link) else ""


def _loaded(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _report(found: Display) -> None:
    print(json.dumps(found._asdict()), flush=True)


def _main(kind: str, index: int) -> None:
    try:
        found = _egl(index) if kind == "egl" else _osmesa()
    except (OSError, AttributeError) as error:
        found = Display(index, problem=str(error))
    _report(found)
    # Drivers may crash while they are unloaded.
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
