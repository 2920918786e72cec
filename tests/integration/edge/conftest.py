"""A real Caddy with our handlers, a real apply engine on a real database, and small servers around them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from edge_rig import EchoUpstream, Edge, Gate

ROOT = Path(__file__).parents[3]


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
def echo() -> Iterator[EchoUpstream]:
    """An upstream that answers what it received."""
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture
def edge(tmp_path: Path, caddy_binary: Path) -> Iterator[Edge]:
    """An edge with nothing declared: Caddy runs its bootstrap."""
    with Edge(tmp_path, caddy_binary) as running:
        yield running


@pytest.fixture
def gate(edge: Edge) -> Iterator[Gate]:
    """A server at the gate's socket that says what a test tells it to."""
    with Gate(Path(edge.context.gate_socket)) as running:
        yield running
