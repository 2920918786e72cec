"""A real Caddy and a real ACME server on loopback, and the fake of the DNS providers' APIs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
for folder in (HERE.parent / "edge", ROOT / "tests/acme", HERE):
    sys.path.insert(0, str(folder))

from acme import Authority, Pebble  # noqa: E402
from acme_edge import AcmeEdge  # noqa: E402
from edge_rig import EchoUpstream, Edge, free_port  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker also when run with another configuration file."""
    config.addinivalue_line("markers", "threat(id): the row of docs/threat-model.md that this test proves")


@pytest.fixture(scope="session")
def caddy_binary() -> Path:
    """The Caddy build: the one that ARGOS_CADDY_BINARY names, else the sources' own, from the cache or built now."""
    if named := os.environ.get("ARGOS_CADDY_BINARY"):
        return Path(named)
    build = [sys.executable, str(ROOT / "roles/caddy/files/build.py")]
    return Path(subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private root."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def acme_edge(tmp_path: Path, caddy_binary: Path) -> Iterator[Callable[..., AcmeEdge]]:
    """Start an edge with its CA; ``validity`` in seconds, the rest goes to the edge."""
    with ExitStack() as running:

        def start(*, validity: int = 7_776_000, **options: Any) -> AcmeEdge:
            http, https = free_port(), free_port()
            place = tmp_path / "edge"
            place.mkdir()
            pebble = running.enter_context(Pebble(tmp_path, http, https, validity=validity))
            edge = running.enter_context(Edge(place, caddy_binary, http_port=http, https_port=https, **options))
            return AcmeEdge(edge, pebble, running.enter_context(EchoUpstream()))

        yield start
