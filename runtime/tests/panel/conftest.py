"""The panel's app over a real database, with quick passwords."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.clock import FixedClock
from argos.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # import-mode=importlib leaves a test's neighbours unfindable

PANEL_HOST = "argos.home.example"
SYSTEM = Actor(kind="system", name="test")
PASSWORD = "correct horse battery"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """An application behind Caddy, with an edge declared, an admin, a member and one who must change a password."""
    for name in ("data", "edge", "run", "credentials", "backups"):
        (tmp_path / name).mkdir()
    settings = Settings(
        master_key=bytes(range(32)),
        data_dir=tmp_path / "data",
        edge_dir=tmp_path / "edge",
        panel_socket=tmp_path / "run" / "panel.sock",
        admin_socket=tmp_path / "run" / "admin.sock",
        caddy_socket=tmp_path / "run" / "caddy.sock",
        gate_socket=tmp_path / "run" / "gate.sock",
        seen_socket=tmp_path / "run" / "seen.sock",
        epoch_file=tmp_path / "run" / "epoch",
        credentials_dir=tmp_path / "credentials",
        backup_dir=tmp_path / "backups",
        backup_request=tmp_path / "run" / "request",
        access_log=tmp_path / "run" / "access.log",
    )
    made = Application.from_settings(settings, clock=FixedClock(), password_cost=4)
    spec = json.dumps({"panel_host": PANEL_HOST, "parent_domain": "home.example"})
    with made.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'edge', ?, '', 0)", (spec,)
        )
    made.accounts.create(SYSTEM, "root-admin", "admin", PASSWORD)
    made.accounts.create(SYSTEM, "alice", "member", PASSWORD)
    made.accounts.create(SYSTEM, "newcomer", "admin", PASSWORD, must_change_password=True)
    yield made
    made.close()
