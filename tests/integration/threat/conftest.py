"""A real ``argos serve`` beside a LAPI of our own that lies on request."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for place in (Path(__file__).parent, Path(__file__).parent.parent / "panel"):
    sys.path.insert(0, str(place))  # import-mode=importlib leaves a test's neighbours unfindable

from hostile_lapi import HostileLapi  # noqa: E402
from panel_runtime import Runtime  # noqa: E402
from stored_credentials import give_credentials  # noqa: E402


@pytest.fixture(scope="module")
def running_lapi() -> Iterator[HostileLapi]:
    made = HostileLapi()
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, running_lapi: HostileLapi) -> Iterator[Runtime]:
    """The runtime behind Caddy, with this LAPI declared and one address exempt."""
    made = Runtime(tmp_path_factory.mktemp("threat"), "behind_caddy")
    try:
        made.start()
        made.declare()
        made.people()
        spec = {
            "enabled": True,
            "lapi_url": running_lapi.url,
            "whitelist": [{"value": "198.51.100.64/26", "reason": "the office"}],
        }
        with sqlite3.connect(made.database, timeout=30) as connection:
            connection.execute(
                "INSERT INTO resources VALUES ('settings', 'crowdsec', ?, 'test', 0)", (json.dumps(spec),)
            )
        connection.close()
        yield made
    finally:
        made.stop()


@pytest.fixture
def lapi(running_lapi: HostileLapi) -> HostileLapi:
    """The LAPI, honest and empty at the beginning of each test."""
    running_lapi.reset()
    return running_lapi


@pytest.fixture
def runtime(served: Runtime, lapi: HostileLapi) -> Runtime:
    """The runtime with the right credentials."""
    give_credentials(served)
    return served
