"""What the gate answers over its socket, and how soon a change in the database counts."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from argos.gate.connections import MOST_CONNECTIONS
from argos.gate.verifier import CACHED_ANSWERS
from argos.storage import tables


def test_a_signed_in_person_passes(gate, database) -> None:
    token = database.session(database.user(name="Zoë", email_verified=True))
    response = gate.ask(token)
    assert response.status == 200
    assert response.headers["x-auth-user"] == "alice"
    assert response.headers["x-auth-name"] == "Zo%C3%AB"
    assert response.headers["x-auth-email"] == "alice@home.example"
    assert response.headers["x-auth-provider"] == "local"
    assert response.headers["cache-control"] == "no-store"


def test_a_browser_without_a_session_is_sent_to_sign_in_and_back(gate) -> None:
    response = gate.ask(X_Forwarded_Uri="/a?b=1&c=%2F")
    assert response.status == 302
    assert response.headers["location"] == (
        "https://argos.home.example/login?rd=https%3A%2F%2Fphotos.home.example%2Fa%3Fb%3D1%26c%3D%252F"
    )


def test_a_program_without_a_session_gets_401(gate) -> None:
    assert gate.ask(Sec_Fetch_Mode="cors").status == 401


@pytest.mark.threat("FWD-3")
def test_an_unknown_host_is_denied_to_the_signed_in_too(gate, database) -> None:
    token = database.session(database.user())
    assert gate.ask(token, Argos_Host_Id="other.home.example").status == 403
    assert gate.ask(token, Argos_Host_Id=None).status == 403


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("rule", ["", "{", '{"required": 1}', '{"vpn_only": true}', '{"users": "alice"}', "null"])
def test_a_rule_that_cannot_be_read_denies(gate, database, rule: str) -> None:
    token = database.session(database.user())
    database.host(rule=rule)
    assert gate.ask(token).status == 403


def test_a_cached_pass_for_one_host_is_none_for_another(gate, database) -> None:
    token = database.session(database.user())
    database.host("vault.home.example", '{"users": ["bob"]}')
    assert gate.ask(token).status == 200
    assert gate.ask(token).status == 200
    assert gate.ask(token, Argos_Host_Id="vault.home.example").status == 403


@pytest.mark.threat("AUT-3")
def test_two_valid_sessions_deny_and_one_beside_planted_ones_passes(gate, database) -> None:
    alice = database.session(database.user())
    mallory = database.session(database.user("mallory"))
    name = "__Secure-argos_session"
    assert gate.ask(Cookie=f"{name}={alice}; {name}={mallory}").status == 403
    planted = "; ".join(f"{name}={letter * 43}" for letter in "abc")
    response = gate.ask(Cookie=f"{planted}; {name}={alice}")
    assert (response.status, response.headers["x-auth-user"]) == (200, "alice")
    # The fifth is not tried: four planted ones are a denial, never a way in.
    assert gate.ask(Cookie=f"{planted}; {name}={'d' * 43}; {name}={alice}").status == 302


@pytest.mark.threat("AUT-3")
def test_the_panels_cookie_opens_no_host(gate, database) -> None:
    token = database.session(database.user())
    assert gate.ask(Cookie=f"__Host-argos_panel={token}").status == 302
    assert gate.ask(Cookie=f"argos_session={token}").status == 302


@pytest.mark.threat("LOG-5")
def test_a_revoked_session_is_denied_by_the_very_next_request(gate, database, heart) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    assert gate.ask(token).status == 200
    assert gate.verifier.cache_hits == 1
    database.delete_session(token)
    heart.writer.advance()
    assert gate.ask(token).status == 302


@pytest.mark.threat("LOG-5")
def test_disabling_a_person_ends_their_way_in_with_the_epoch(gate, database, heart) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    database.execute(sa.update(tables.users).values(disabled=True))
    heart.writer.advance()
    assert gate.ask(token).status == 302


@pytest.mark.threat("FWD-2")
def test_a_direct_change_of_the_database_counts_within_thirty_seconds(gate, database) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    database.delete_session(token)
    assert gate.ask(token).status == 200  # nobody told the gate: this is the staleness that FWD-2 bounds
    gate.pass_time(31)
    assert gate.ask(token).status == 302


@pytest.mark.threat("FWD-2")
def test_no_answer_is_kept_when_the_heart_has_stopped(gate, database, heart, eventually) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    heart.stop()
    eventually(lambda: not gate.verifier.epoch.read().fresh)
    assert gate.ask(token).status == 200  # the runtime's absence denies nobody
    assert len(gate.verifier) == 0
    database.delete_session(token)
    assert gate.ask(token).status == 302


@pytest.mark.threat("FWD-2")
def test_an_answer_looked_up_while_the_epoch_advanced_is_worth_nothing(gate, database, heart) -> None:
    token = database.session(database.user())
    look_up = gate.store.session

    def revoked_meanwhile(token_hash: bytes):
        found = look_up(token_hash)
        database.delete_session(token)
        heart.writer.advance()
        return found

    gate.store.session = revoked_meanwhile
    assert gate.ask(token).status == 200  # it had begun before the revocation was answered
    gate.store.session = look_up
    assert gate.ask(token).status == 302


def test_a_session_expires_in_the_cache_too(gate, database, clock) -> None:
    token = database.session(database.user(), expires_at=clock.now() + 5)
    assert gate.ask(token).status == 200
    clock.advance(5)
    assert gate.ask(token).status == 302


def test_a_session_becomes_idle_in_the_cache_too(gate, database, clock) -> None:
    database.settings(idle_seconds=10)
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    clock.advance(9)
    assert gate.ask(token).status == 200
    clock.advance(9)
    assert gate.ask(token).status == 200  # the request before was a sight
    clock.advance(10)
    assert gate.ask(token).status == 302


def test_a_stopped_runtime_makes_nobody_idle(gate, database, clock) -> None:
    token = database.session(database.user())
    for _unused in range(4):
        gate.pass_time(3000)  # idle after 3600 s; the database's last_seen_at stays as it was
        assert gate.ask(token).status == 200
    gate.pass_time(3600)
    assert gate.ask(token).status == 302


def test_new_settings_count_at_once_with_the_epoch(gate, database, heart) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    database.settings(cookie_name="argos_session", panel_url="http://argos.lan")
    heart.writer.advance()
    assert gate.ask(token).headers["location"].startswith("http://argos.lan/login?rd=")
    assert gate.ask(Cookie=f"argos_session={token}").status == 200


@pytest.mark.threat("FWD-3")
def test_an_unforeseen_error_is_a_denial(gate, database, monkeypatch) -> None:
    token = database.session(database.user())

    def broken(_token_hash: bytes):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(gate.store, "session", broken)
    assert gate.ask(token).status == 403
    monkeypatch.undo()
    assert gate.ask(token).status == 200


@pytest.mark.threat("DAT-4")
def test_the_cache_and_the_sights_are_bounded(gate, database, monkeypatch) -> None:
    monkeypatch.setattr("argos.gate.verifier.CACHED_ANSWERS", 10)
    gate.sights.limit = 10
    user = database.user()
    client = gate.client()
    tokens = [database.session(user) for _unused in range(25)]
    for token in tokens:
        assert client.ask(gate.headers(token)).status == 200
    assert len(gate.verifier) == 10
    assert len(gate.sights) == 10
    hits = gate.verifier.cache_hits
    assert client.ask(gate.headers(tokens[0])).status == 200  # the oldest went first
    assert gate.verifier.cache_hits == hits
    assert client.ask(gate.headers(tokens[-1])).status == 200
    assert gate.verifier.cache_hits == hits + 1


def test_health_tells_counts_and_no_secret(gate, database) -> None:
    token = database.session(database.user())
    gate.ask(token)
    gate.ask()
    health = gate.health()
    assert health["http_status"] == 200
    assert (health["status"], health["database"], health["epoch_fresh"]) == ("ok", "ok", True)
    assert (health["passed"], health["denied"]) == (1, 1)
    assert token not in str(health)
    assert "alice" not in str(health)


@pytest.mark.threat("DAT-4")
def test_health_tells_how_full_each_map_is_and_its_bound(gate, database) -> None:
    gate.ask(database.session(database.user()))
    kept = {row["name"]: (row["rows"], row["bound"]) for row in gate.health()["kept"]}
    assert kept["gate: answers"] == (1, CACHED_ANSWERS)
    assert kept["gate: sights"] == (1, gate.verifier.sights.limit)
    rows, bound = kept["gate: connections"]
    assert 1 <= rows <= bound == MOST_CONNECTIONS
