"""A real Caddy with our handlers, a real apply engine on a real database, and small servers around them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

GENERATED = Path(__file__).parents[3] / "runtime/tests/edge"  # whole declarations, drawn at random
for place in (Path(__file__).parent, Path(__file__).parent.parent / "panel", GENERATED):
    sys.path.insert(0, str(place))  # import-mode=importlib leaves a test's neighbours unfindable

from edge_rig import EchoUpstream, Edge, Gate  # noqa: E402
from gate_process import gate_process  # noqa: E402


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


@pytest.fixture
def real_gate(edge: Edge) -> Iterator[subprocess.Popen[bytes]]:
    """``argos gate`` on the edge's database, with the epoch beaten once."""
    settings = edge.settings
    environment = {
        "PATH": os.environ["PATH"],
        "ARGOS_DATA_DIR": str(settings.data_dir),
        "ARGOS_GATE_SOCKET": str(settings.gate_socket),
        "ARGOS_EPOCH_FILE": str(settings.epoch_file),
        "ARGOS_SEEN_SOCKET": str(edge.place / "run/seen.sock"),
    }
    edge.epoch.advance()
    edge.epoch.beat()
    with gate_process(environment) as gate:
        yield gate
