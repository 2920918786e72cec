"""The signed-in go on while the runtime or the gate is restarted, stopped or killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.echo import Received
from lab.guest import Guest
from lab.load import asking
from lab.people import Panel, Person
from lab.polling import steadily, until
from lab.visitor import Visitor


@pytest.fixture
def restored_runtime(guest: Guest, panel: Panel, declaration: Declaration, new_visitor) -> Iterator[None]:
    yield
    guest.systemctl("start", "argos", "argos-gate.socket", "argos-gate")
    client = new_visitor()
    until("the panel serves", lambda: client.navigate(f"{panel.url}/login").status_code == 200, within=240)


@pytest.mark.threat("FWD-2")
@pytest.mark.usefixtures("restored_runtime")
@pytest.mark.parametrize("unit", ["argos", "argos-gate"])
def test_a_restart_under_load_denies_nobody(
    guest: Guest, signed_in: Visitor, declaration: Declaration, unit: str
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    with asking(lambda: signed_in.get(host)) as seen:
        for _unused in range(2):
            guest.systemctl("restart", unit)
            steadily("signed in", lambda: signed_in.get(host).status_code == 200, during=1)
        until("there was a load", lambda: seen.statuses[200] > 50, within=60)
    assert set(seen.statuses) == {200}, (seen.statuses, seen.odd)


@pytest.mark.threat("FWD-2")
@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_runtime")
def test_the_runtime_stopped_denies_nobody_and_admits_nobody_else(
    guest: Guest, signed_in: Visitor, new_visitor, alice: Person, declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    stranger = new_visitor()
    with asking(lambda: signed_in.get(host)) as seen:
        guest.systemctl("stop", "argos")
        steadily("strangers are denied", lambda: stranger.get(host).status_code == 401, during=5)  # past the heartbeat
    assert set(seen.statuses) == {200}, (seen.statuses, seen.odd)
    assert Received.of(signed_in.get(host).content).one("x-auth-user") == alice.username
    assert stranger.get(f"https://{declaration.name('e2e-open')}/").status_code == 200


@pytest.mark.threat("FWD-2")
@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_runtime")
def test_the_gate_killed_and_restarted_with_the_runtime_stopped_still_knows_the_session(
    guest: Guest, signed_in: Visitor, new_visitor, declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    stranger = new_visitor()
    guest.systemctl("stop", "argos")
    for act in ("systemctl kill -s KILL argos-gate || true", "systemctl restart argos-gate"):
        guest.shell(act)

        def decided() -> bool:
            seen = stranger.get(host).status_code
            if seen < 400:
                pytest.fail(f"a stranger was answered {seen}")
            return (seen, signed_in.get(host).status_code) == (401, 200)

        # Both, as the first answers may still be those of the gate that is about to die.
        until("the session passes, and a stranger does not", decided, within=60)


@pytest.mark.threat("FWD-2")
@pytest.mark.usefixtures("restored_runtime")
def test_signing_out_is_immediate_under_load(
    signed_in: Visitor, new_visitor, panel: Panel, declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    cookie = {"Cookie": f"__Secure-argos_session={signed_in.http.cookies['__Secure-argos_session']}"}
    others = new_visitor()
    with asking(lambda: others.get(host, headers=cookie), clients=4, every=0):
        steadily("signed in", lambda: others.get(host, headers=cookie).status_code == 200, during=1)
        panel.sign_out(signed_in)
        late = [others.get(host, headers=cookie).status_code for _unused in range(20)]
    assert late == [401] * 20


@pytest.mark.threat("FWD-2")
def test_a_session_deleted_behind_the_services_back_ends_within_30_seconds(
    guest: Guest, signed_in: Visitor, alice: Person, declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    assert signed_in.get(host).status_code == 200
    remove = """
import sqlite3, sys
base = sqlite3.connect("/var/lib/argos/argos.db", timeout=20)
with base:
    base.execute("DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE username = ?)", (sys.argv[1],))
"""
    guest.python(remove, alice.username, user="argos")
    until("the gate forgets it", lambda: signed_in.get(host).status_code == 401, within=40)
