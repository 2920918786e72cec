"""A real Caddy and a real ACME server on loopback, and the fake of the DNS providers' APIs."""

from __future__ import annotations

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
