"""Word of seen sessions: rare, never in the way, counted when lost."""

from __future__ import annotations

import hashlib
import socket

import pytest


@pytest.fixture
def seen(tmp_path):
    """The runtime's end of the datagrams."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "seen.sock"))
    receiver.settimeout(30)
    yield receiver
    receiver.close()


def pending(receiver: socket.socket) -> list[bytes]:
    receiver.setblocking(False)
    found = []
    try:
        while True:
            found.append(receiver.recv(100))
    except BlockingIOError:
        return found


def test_a_session_is_reported_once_in_five_minutes(gate, database, seen) -> None:
    token = database.session(database.user())
    for _unused in range(5):
        assert gate.ask(token).status == 200
    assert pending(seen) == [hashlib.sha256(token.encode()).digest()]
    gate.pass_time(299)
    gate.ask(token)
    assert pending(seen) == []
    gate.pass_time(1)
    gate.ask(token)
    gate.ask(token)
    assert pending(seen) == [hashlib.sha256(token.encode()).digest()]


def test_nothing_is_reported_of_who_does_not_pass(gate, database, seen) -> None:
    expired = database.session(database.user(), expires_at=1)
    database.host("vault.home.example", '{"users": ["bob"]}')
    live = database.session(database.user("carol"))
    assert gate.ask(expired).status == 302
    assert gate.ask(live, Argos_Host_Id="vault.home.example").status == 403
    assert gate.ask().status == 302
    assert pending(seen) == []


@pytest.mark.threat("DAT-4")
def test_a_full_or_missing_receiver_delays_nobody_and_is_counted(gate, database, tmp_path) -> None:
    user = database.user()
    token = database.session(user)
    assert gate.ask(token).status == 200
    assert (gate.sights.sent, gate.sights.drops) == (0, 1)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "seen.sock"))
    gate.pass_time(15)
    assert gate.ask(token).status == 200  # tried again
    assert (gate.sights.sent, gate.sights.drops) == (1, 1)
    client = gate.client()
    for _unused in range(400):  # more than a datagram queue holds
        assert client.ask(gate.headers(database.session(user))).status == 200
    assert gate.sights.drops > 1
    assert gate.sights.sent + gate.sights.drops == 402
    receiver.close()
