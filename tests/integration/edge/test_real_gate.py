"""Caddy and the real gate: a session made by the runtime opens a protected host, and its end closes it."""

from __future__ import annotations

import subprocess

import msgspec
import pytest
from argos.edge.apply import ApplyEngine
from argos.edge.context import RenderContext
from argos.epoch import EpochReader
from argos.errors import Unavailable
from argos.sessions.store import Sessions
from argos.storage.tables import users
from edge_rig import ACTOR, IDENTITY, EchoUpstream, Edge
from sqlalchemy import insert, text

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


@pytest.mark.threat("FWD-2")
@pytest.mark.threat("FWD-3")
def test_a_changed_mode_leaves_no_protected_host_closed(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes]
) -> None:
    """The mode is no part of a declaration: a restart, and nothing else, must bring it to the gate."""
    edge.apply([{"name": GUARDED, "upstreams": [{"url": echo.url}], "auth": {"required": True}}])
    with edge.storage.write() as connection:
        row = {"username": "alice", "role": "member", "created_at": 1, "updated_at": 1}
        user = connection.execute(insert(users).values(**row)).inserted_primary_key[0]
    issued = Sessions(edge.storage, edge.audit, edge.epoch).begin(ACTOR, user, "127.0.0.1")

    def restarted(context: RenderContext) -> ApplyEngine:
        parts = (edge.storage, edge.vault, edge.secrets, edge.audit, edge.epoch, edge.scrubber)
        return ApplyEngine(edge.settings, *parts, context=context, caddy=edge.admin)

    def assert_let_in(name: str, other: str, sign_in: str) -> None:
        assert edge.ask(GUARDED, "/", f"Cookie: {name}={issued.edge_token}\r\n").status == 200, name
        assert edge.ask(GUARDED, "/", f"Cookie: {other}={issued.edge_token}\r\n").status == 401, other
        assert (edge.ask(GUARDED, "/", NAVIGATION).one("Location") or "").startswith(f"{sign_in}/login?rd="), sign_in

    epoch = EpochReader(edge.settings.epoch_file)
    secure, plain = "__Secure-argos_session", "argos_session"
    behind = f"https://argos.home.example:{edge.https_port}"
    assert_let_in(secure, plain, behind)
    for port in (9080, 9081):  # and from one port to another
        lan = msgspec.structs.replace(edge.context, mode="lan", panel_port=port)
        before = epoch.read().counter
        restarted(lan).reconcile()
        assert epoch.read().counter != before, "or the gate would go by what it knows"
        assert_let_in(plain, secure, f"http://argos.home.example:{port}")
        assert restarted(lan).reconcile() is False
        after = epoch.read().counter
        restarted(lan).reconcile()
        assert epoch.read().counter == after, "what is right already is left alone"
    restarted(edge.context).reconcile()
    assert_let_in(secure, plain, behind)


@pytest.mark.threat("FWD-2")
def test_tables_of_the_gate_that_say_something_else_are_mended_with_caddy_dead(edge: Edge, echo: EchoUpstream) -> None:
    auth = {"required": True, "groups": ["family"]}
    edge.apply([{"name": GUARDED, "upstreams": [{"url": echo.url}], "auth": auth}])
    edge.stop()
    rows = "SELECT host_id, rule FROM gate_hosts"
    with edge.storage.read() as connection:
        declared = connection.execute(text(rows)).all()
    for spoilt in ("UPDATE gate_hosts SET rule = replace(rule, 'family', 'guests')", "DELETE FROM gate_hosts"):
        with edge.storage.write() as connection:
            connection.execute(text(spoilt))
        with pytest.raises(Unavailable):
            edge.engine.reconcile()
        with edge.storage.read() as connection:
            assert connection.execute(text(rows)).all() == declared, spoilt
