"""What every suite below has: ``ports``, ``waiting`` and other rigs beside this file, and the Caddy build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

ROOT = Path(__file__).resolve().parents[2]


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
