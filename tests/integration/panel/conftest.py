"""A real ``argos serve`` in its own process, over temporary directories, in either mode."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # import-mode=importlib leaves a test's neighbours unfindable

from panel_runtime import Runtime


@pytest.fixture(scope="module")
def behind_caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The runtime as it stands behind Caddy: panel on a unix socket, with an edge declared and people in it."""
    yield from _running(tmp_path_factory.mktemp("behind"), "behind_caddy")


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The runtime in ``lan``: panel on loopback TCP."""
    yield from _running(tmp_path_factory.mktemp("lan"), "lan")


@pytest.fixture(scope="module", params=["behind_caddy", "lan"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """The runtime in each mode in turn."""
    served: Runtime = request.getfixturevalue(request.param)
    return served


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime that has not been started, and is stopped at the end if a test starts it."""
    made = Runtime(tmp_path, "lan")
    yield made
    made.stop()


def _running(root: Path, mode: str) -> Iterator[Runtime]:
    made = Runtime(root, mode)
    try:
        made.start()
        made.declare()
        made.people()
        yield made
    finally:
        made.stop()
