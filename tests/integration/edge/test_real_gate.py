"""Caddy and the real gate: a session made by the runtime opens a protected host, and its end closes it."""

from __future__ import annotations

import subprocess

import pytest
from argos.sessions.store import Sessions
from argos.storage.tables import users
from edge_rig import ACTOR, IDENTITY, EchoUpstream, Edge
from sqlalchemy import insert

GUARDED = "guarded.home.example"
NAVIGATION = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n"


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("LOG-5")
def test_a_session_passes_until_it_is_revoked(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes]
) -> None:
    edge.apply([{"name": GUARDED, "upstreams": [{"url": echo.url}], "auth": {"required": True}}])
    with edge.storage.write() as connection:
        row = {"username": "alice", "name": "Älice", "role": "member", "created_at": 1, "updated_at": 1}
        user = connection.execute(insert(users).values(**row)).inserted_primary_key[0]
    sessions = Sessions(edge.storage, edge.audit, edge.epoch)
    issued = sessions.begin(ACTOR, user, "127.0.0.1")

    asked = "/deep/a%2Fb?x=1&y=%26&z=%C3%BC"
    away = edge.ask(GUARDED, asked, NAVIGATION)
    assert away.status == 302
    assert (away.one("Location") or "").startswith(
        f"https://argos.home.example:{edge.https_port}/login?rd=https%3A%2F%2F"
    )
    assert "%26y%3D%2526%26z%3D%25C3%25BC" in (away.one("Location") or "")
    assert edge.ask(GUARDED, asked).status == 401

    cookie = f"Cookie: __Secure-argos_session={issued.edge_token}; theme=dark\r\nX-Auth-User: root\r\n"
    inside = edge.ask(GUARDED, asked, cookie).received()
    assert [inside.all(name) for name in IDENTITY] == [["alice"], [""], ["%C3%84lice"], ["local"]]
    assert inside.path == asked
    assert inside.all("Cookie") == ["theme=dark"]
    panel_token = f"Cookie: __Secure-argos_session={issued.panel_token}\r\n"
    assert edge.ask(GUARDED, asked, panel_token).status == 401

    sessions.revoke_user(ACTOR, user)
    assert edge.ask(GUARDED, asked, cookie).status == 401

    real_gate.kill()
    real_gate.wait(10)
    assert edge.ask(GUARDED, asked, cookie).status == 502
