"""The runtime's own services, and real SMTP servers on loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argos.application import Application
from argos.clock import FixedClock
from argos.settings import Settings

HERE = Path(__file__).parent
for place in (HERE, HERE.parent / "panel"):
    sys.path.insert(0, str(place))  # import-mode=importlib leaves a test's neighbours unfindable

from authority import Authority  # noqa: E402
from declared_mail import mail  # noqa: E402
from smtp_server import CLI, NAME, PASSWORD, MailServer  # noqa: E402


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def application(tmp_path: Path, clock: FixedClock) -> Iterator[Application]:
    """An application with a clock that the test moves, and the edge declared."""
    for name in ("data", "edge", "run", "credentials", "backups"):
        (tmp_path / name).mkdir()
    settings = Settings(
        master_key=bytes(range(32)),
        data_dir=tmp_path / "data",
        edge_dir=tmp_path / "edge",
        caddy_socket=tmp_path / "run" / "caddy.sock",
        epoch_file=tmp_path / "run" / "epoch",
        credentials_dir=tmp_path / "credentials",
        backup_dir=tmp_path / "backups",
        backup_request=tmp_path / "run" / "request",
        access_log=tmp_path / "run" / "access.log",
    )
    made = Application.from_settings(settings, clock=clock, password_cost=4)
    spec = json.dumps({"panel_host": "argos.home.example", "parent_domain": "home.example"})
    with made.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'edge', ?, '', 0)", (spec,)
        )
    made.secrets.set(CLI, "smtp-password", PASSWORD)
    yield made
    made.close()


@pytest.fixture
def declare(application: Application, authority: Authority) -> Callable[..., None]:
    """Declare ``settings/mail`` as the admin API does, for a server of the test."""
    from argos.edge.decode import decode_document

    def apply(port: int, **fields: Any) -> None:
        declared = mail(port, authority, **fields)
        application.engine.apply(CLI, decode_document({"owner": "test", "settings": {"mail": declared}}))

    return apply


@pytest.fixture
def server(authority: Authority) -> Iterator[MailServer]:
    """An honest server: STARTTLS, and one account."""
    made = MailServer(authority.context(NAME), accounts={"argos": PASSWORD})
    yield made
    made.close()
