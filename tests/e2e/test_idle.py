"""A session that only protected hosts see does not go idle; one that nobody uses does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.people import Panel, Person
from lab.polling import until
from lab.visitor import Visitor

DATABASE = "/var/lib/argos/argos.db"


def seen(guest: Guest, client: Visitor) -> int:
    """Return when the runtime last noted that a session was seen."""
    digest = hashlib.sha256(client.http.cookies["__Secure-argos_session"].encode()).hexdigest()
    query = "SELECT last_seen_at FROM sessions WHERE hex(edge_token_hash) = upper(?)"
    script = f"import sqlite3, sys; print(*sqlite3.connect({DATABASE!r}).execute({query!r}, sys.argv[1:]).fetchone())"
    return int(guest.python(script, digest, user="argos"))


def let_pass(guest: Guest, seconds: int) -> None:
    """Let that much time pass for all sessions: what was is further back. The gate forgets what it saw itself."""
    change = f"UPDATE sessions SET last_seen_at = last_seen_at - {seconds}"
    script = f"import sqlite3; c = sqlite3.connect({DATABASE!r}, timeout=20); c.execute({change!r}); c.commit()"
    guest.python(script, user="argos")
    guest.systemctl("restart", "argos-gate")


@pytest.mark.threat("LOG-5")
def test_a_session_used_only_on_a_protected_host_outlives_the_idle_limit_and_an_unused_one_does_not(
    guest: Guest,
    new_visitor: Callable[..., Visitor],
    alice: Person,
    panel: Panel,
    api: AdminApi,
    declaration: Declaration,
) -> None:
    idle = api.settings().get("session", {}).get("idle_hours", 24) * 3600
    host = f"https://{declaration.name('e2e-guarded')}/"
    used, unused = new_visitor(), new_visitor()
    for client in (used, unused):
        panel.sign_in(client, alice)
    for _unused in range(2):
        let_pass(guest, idle - 120)
        before = seen(guest, used)
        assert used.get(host).status_code == 200
        until("the gate's word reaches the runtime", lambda was=before: seen(guest, used) > was, within=60)
    assert unused.get(host).status_code == 401
    assert unused.navigate(f"{panel.url}/profile").status_code == 303, "the panel says the same"
    assert used.navigate(f"{panel.url}/profile").status_code == 200
