"""Adapters that several files of tests play with."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def looking(tmp_path_factory):
    """A LIBERO adapter that renders; the first of the process, it decides on the renderer."""
    from test_libero import Adapter, config

    adapter = Adapter(config(tmp_path_factory.mktemp("looking"), images=True, video=True))
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory, looking):
    """As `looking`, with LIBERO's own assets."""
    from test_libero import DATA, Adapter, config

    adapter = Adapter(config(tmp_path_factory.mktemp("real"), assets=DATA, images=True, video=True))
    yield adapter
    adapter.close()
