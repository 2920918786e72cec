"""Who comes by way of ``/api/auth/forward`` alone is seen, so that they do not go idle; who does not, does."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from argos.application import Application
from argos.clock import FixedClock
from argos.panel.app import panel_app
from falcon import testing
from sqlalchemy import event

GUARDED = "photos.home.example"
IDLE = 24 * 3600
PASSWORD = "correct horse battery"  # as conftest's people have it


@pytest.fixture
def client(application: Application) -> testing.TestClient:
    with application.storage.write() as connection:
        connection.exec_driver_sql("INSERT INTO gate_hosts VALUES (?, ?)", (GUARDED, '{"required": true}'))
        settings = ("https://argos.home.example", "__Secure-argos_session", IDLE)
        connection.exec_driver_sql("INSERT INTO gate_settings VALUES (1, ?, ?, ?)", settings)
    headers = {"Host": "argos.home.example", "Argos-Client-Ip": "203.0.113.5", "Argos-Forwarded-Host": GUARDED}
    return testing.TestClient(panel_app(application), headers=headers)


def sign_in(client: testing.TestClient) -> dict[str, str]:
    form = {"username": "alice", "password": PASSWORD, "rd": "/"}
    headers = {"Origin": "https://argos.home.example", "Content-Type": "application/x-www-form-urlencoded"}
    answer = client.simulate_post("/login", body=urlencode(form), headers=headers)
    return {"Cookie": f"__Secure-argos_session={answer.cookies['__Secure-argos_session'].value}"}


@pytest.mark.threat("LOG-5")
def test_a_session_used_only_there_outlives_the_idle_limit_and_an_unused_one_does_not(
    application: Application, client: testing.TestClient
) -> None:
    clock = application.clock
    assert isinstance(clock, FixedClock)
    used, unused = sign_in(client), sign_in(client)
    for _unused in range(3):
        clock.advance(IDLE - 60)
        assert client.simulate_get("/api/auth/forward", headers=used).status_code == 200
    assert client.simulate_get("/api/auth/forward", headers=unused).status_code == 401


def test_only_an_admitted_request_counts_and_one_in_five_minutes_writes(
    application: Application, client: testing.TestClient
) -> None:
    clock = application.clock
    assert isinstance(clock, FixedClock)
    cookie, written = sign_in(client), []

    def seen() -> int:
        with application.storage.read() as connection:
            return connection.exec_driver_sql("SELECT last_seen_at FROM sessions").scalar_one()

    begun = seen()
    event.listen(
        application.storage._writer,
        "before_cursor_execute",
        lambda _c, _k, statement, *_rest: written.append(statement) if statement.startswith("UPDATE") else None,
    )
    clock.advance(299)
    assert client.simulate_get("/api/auth/forward", headers=cookie).status_code == 200
    assert not written
    clock.advance(1)
    elsewhere = {**cookie, "Argos-Forwarded-Host": "unknown.home.example"}
    assert client.simulate_get("/api/auth/forward", headers=elsewhere).status_code == 403
    assert seen() == begun
    for _unused in range(3):
        assert client.simulate_get("/api/auth/forward", headers=cookie).status_code == 200
    assert seen() == begun + 300
    assert len(written) == 1
