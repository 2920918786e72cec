"""``/password``: one's own password is changed by who is signed in, and undoes nothing that an administrator did."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from argos.accounts import BadCredentials, Passwords
from argos.accounts.passwords import PasswordHash
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}
ADMIN = Actor("user", "root-admin")
OLD, OWN, RESET = "correct horse battery", "the thief's own one", "set by an admin"


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize("when", ["while it is hashed", "before the new sign-in begins"])
def test_a_reset_meanwhile_stands_and_signs_the_thief_out(
    application: Application, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    alice = application.accounts.get("alice")
    held = application.sessions.begin(Actor("user", "alice"), alice.id, "203.0.113.5")
    headers = {**HEADERS, "Cookie": f"__Host-argos_panel={held.panel_token}"}
    client = testing.TestClient(panel_app(application), headers=headers)
    hash_, begin = Passwords.hash, application.sessions.begin

    def hashed(self: Passwords, password: str) -> PasswordHash:
        made = hash_(self, password)
        if password == OWN and when == "while it is hashed":
            application.accounts.reset_password(ADMIN, "alice", RESET)
        return made

    def begun(*arguments: object, **named: object) -> object:
        if when == "before the new sign-in begins":
            application.accounts.reset_password(ADMIN, "alice", RESET)
        return begin(*arguments, **named)

    monkeypatch.setattr(Passwords, "hash", hashed)
    monkeypatch.setattr(application.sessions, "begin", begun)
    answer = client.simulate_post("/password", body=urlencode({"current": OLD, "new": OWN, "again": OWN, "rd": "/"}))
    assert answer.status_code == 401
    assert "changed just now" in answer.text
    assert answer.cookies["__Host-argos_panel"].value == ""
    assert application.sessions.list_for(alice.id) == []
    application.accounts.authenticate("alice", RESET, "203.0.113.5")
    with pytest.raises(BadCredentials):
        application.accounts.authenticate("alice", OWN, "203.0.113.5")
