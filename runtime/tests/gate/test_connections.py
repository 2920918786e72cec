"""Connections: pipelining, keep-alive, limits, garbage, slow and silent peers."""

from __future__ import annotations

import json
import random
import socket
import threading
import time

import pytest
from argos.gate import connections as limits
from argos.gate import server


def test_pipelined_requests_are_answered_in_order(gate, database) -> None:
    alice = database.session(database.user())
    bob = database.session(database.user("bob"))
    client = gate.client()
    asked = [alice, None, bob, None, alice] * 20
    client.send(b"".join(gate.request_bytes(gate.headers(token)) for token in asked))
    expected = {alice: (200, "alice"), bob: (200, "bob"), None: (302, None)}
    for token in asked:
        response = client.receive()
        assert (response.status, response.headers.get("x-auth-user")) == expected[token]


def test_a_request_may_come_octet_by_octet(gate, database, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SLOW_HEAD_SECONDS", 600)  # so many sends take long on a busy machine
    token = database.session(database.user())
    client = gate.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for octet in gate.request_bytes(gate.headers(token)) * 2:
        client.send(bytes([octet]))
    assert [client.receive().status, client.receive().status] == [200, 200]


def test_headers_of_one_request_do_not_leak_into_the_next(gate, database) -> None:
    token = database.session(database.user())
    client = gate.client()
    assert client.ask(gate.headers(token)).status == 200
    assert client.ask(gate.headers(Sec_Fetch_Mode="cors")).status == 401
    assert client.ask({"Host": "gate", "Cookie": f"__Secure-argos_session={token}"}).status == 403


def test_connection_close_is_honoured(gate) -> None:
    client = gate.client()
    response = client.ask(gate.headers() | {"Connection": "close"})
    assert response.headers["connection"] == "close"
    assert client.at_end()


def test_a_websocket_handshake_leaves_the_connection_usable(gate, database) -> None:
    token = database.session(database.user())
    client = gate.client()
    handshake = gate.headers(token) | {"Connection": "Upgrade", "Upgrade": "websocket"}
    client.send(gate.request_bytes(handshake) + gate.request_bytes(gate.headers(token)))
    assert [client.receive().status, client.receive().status] == [200, 200]
    assert client.ask(handshake).status == 200
    assert client.ask(gate.headers()).status == 302


@pytest.mark.threat("FWD-3")
def test_garbage_is_refused_and_harms_nobody_else(gate, database) -> None:
    token = database.session(database.user())
    generator = random.Random(3)
    for _unused in range(200):
        client = gate.client()
        client.send(generator.randbytes(generator.randrange(1, 3000)) + b"\r\n\r\n")
        response = client.receive()
        assert response is None or response.status in {400, 403, 431}
        client.close()
    assert gate.ask(token).status == 200


@pytest.mark.threat("FWD-3")
def test_a_mutated_request_never_passes_as_somebody_else(gate, database) -> None:
    token = database.session(database.user())
    good = gate.request_bytes(gate.headers(token))
    generator = random.Random(4)
    for _unused in range(300):
        client = gate.client()
        raw = bytearray(good)
        for _unused in range(generator.randrange(1, 4)):
            raw[generator.randrange(len(raw))] = generator.randrange(256)
        client.send(bytes(raw))
        client.socket.shutdown(socket.SHUT_WR)
        response = client.receive()
        if response is not None and response.status == 200:
            assert response.headers["x-auth-user"] == "alice"
            assert token.encode() in raw, "a damaged token passed"
        client.close()


def test_a_slow_head_is_cut_off(gate, monkeypatch, eventually) -> None:
    monkeypatch.setattr(limits, "SLOW_HEAD_SECONDS", 1)
    client = gate.client()
    client.send(b"GET /verify HTTP/1.1\r\nHost: gate\r\n")
    assert client.at_end()
    monkeypatch.undo()  # who asks now may be slow
    eventually(lambda: len_open(gate) == 0)


def test_one_octet_a_second_does_not_help_a_slow_head(gate, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SLOW_HEAD_SECONDS", 1)
    client = gate.client()
    client.socket.settimeout(0.2)
    client.send(b"GET /verify HTTP/1.1\r\nX: ")
    for _unused in range(300):
        try:
            client.send(b"a")
            if client.socket.recv(1) == b"":
                return
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return
    pytest.fail("the head was still being read after a minute")


def test_an_idle_connection_ends(gate, monkeypatch) -> None:
    client = gate.client()
    assert client.ask(gate.headers()).status == 302
    monkeypatch.setattr(limits, "IDLE_SECONDS", 1)  # only now: until it had asked, it was idle too
    assert client.at_end()


def test_what_came_while_a_stopping_gate_was_held_up_is_answered(gate, monkeypatch) -> None:
    """As on a busy machine: the grace is over before it reads on."""
    busy, waiting, stopping = gate.client(), gate.client(), threading.Event()
    for client in (busy, waiting):
        assert client.ask(gate.headers()).status == 302
    finish, answer = server._finish, gate.verifier.answer

    async def finishing(*arguments: object) -> None:
        stopping.set()
        await finish(*arguments)

    def held_up(headers: dict[bytes, bytes]) -> bytes:
        monkeypatch.setattr(gate.verifier, "answer", answer)
        waiting.send(gate.request_bytes(gate.headers()))
        time.sleep(server.GRACE_SECONDS + 0.2)
        return answer(headers)

    monkeypatch.setattr(server, "_finish", finishing)
    monkeypatch.setattr(gate.verifier, "answer", held_up)
    gate.begin_to_stop()
    assert stopping.wait(60)
    for response in (busy.ask(gate.headers()), waiting.receive()):
        assert (response.status, response.headers["connection"]) == (302, "close")


@pytest.mark.threat("DAT-4")
def test_connections_beyond_the_limit_are_refused_and_the_rest_served(gate, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 5)
    held = [gate.client() for _unused in range(5)]
    for client in held:
        assert client.ask(gate.headers()).status == 302
    extra = gate.client()
    assert extra.receive().status == 503
    assert extra.at_end()
    assert held[0].ask(gate.headers()).status == 302


@pytest.mark.threat("DAT-4")
def test_one_who_reads_no_answers_is_not_read_from_either(gate) -> None:
    client = gate.client()
    client.socket.settimeout(1)
    batch = gate.request_bytes(gate.headers()) * 100
    with pytest.raises(TimeoutError):
        client.send(batch * (64 * 2**20 // len(batch)))
    assert gate.ask().status == 302


def len_open(gate) -> int:
    client = gate.client()
    client.send(b"GET /healthz HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
    return json.loads(client.receive().body)["connections"] - 1
