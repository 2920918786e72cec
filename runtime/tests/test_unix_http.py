"""An exchange over a Unix socket ends in time, whatever the other side does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from argos import unix_http
from argos.edge.caddy import CaddyAdmin, CaddyUnreachable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"


def head_by_head(peer: socket.socket, wait: Callable[[], bool]) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(60):
        peer.sendall(f"X-{number}: y\r\n".encode())
        if wait():
            return
    peer.sendall(b"Content-Length: 2\r\n\r\n{}")


def byte_by_byte(peer: socket.socket, wait: Callable[[], bool]) -> None:
    peer.sendall(HEAD)
    for _unused in range(200):
        peer.sendall(b"0")
        if wait():
            return


def chunk_by_chunk(peer: socket.socket, wait: Callable[[], bool]) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _unused in range(200):
        peer.sendall(b"1\r\n0\r\n")
        if wait():
            return
    peer.sendall(b"0\r\n\r\n")


def silence(_peer: socket.socket, wait: Callable[[], bool]) -> None:
    while not wait():
        pass


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket, Callable[[], bool]], None]) -> Iterator[None]:
    """A peer that answers like ``answer``, a piece each tenth of a second until the test is over."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            peer, _unused = listener.accept()
            with peer:
                try:
                    if not over.is_set() and peer.recv(65536):
                        answer(peer, lambda: over.wait(0.1))
                except OSError:
                    pass  # the other side went away: what the test wants

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        over.set()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
        thread.join(60)


@pytest.mark.parametrize("drip", [head_by_head, byte_by_byte, chunk_by_chunk, silence])
def test_a_peer_that_drips_is_given_up_at_the_deadline(
    tmp_path: Path, drip: Callable[[socket.socket, Callable[[], bool]], None]
) -> None:
    """Each piece comes well within the time of one read; only an end for all of it ends this."""
    path = tmp_path / "admin.sock"
    with answering(path, drip):
        with pytest.raises(CaddyUnreachable, match="timed out"):
            CaddyAdmin(path, timeout=1).load("{}")
        with pytest.raises(TimeoutError):
            unix_http.get(path, "/healthz", timeout=1)


def test_a_peer_that_takes_nothing_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with answering(path, silence), pytest.raises(CaddyUnreachable, match="timed out"):
        CaddyAdmin(path, timeout=1).load(" " * 16_000_000)


def test_who_answers_in_time_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    def answer(peer: socket.socket, _unused: Callable[[], bool]) -> None:
        peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')

    with answering(path, answer):
        assert unix_http.get(path, "/x", timeout=60) == (200, b'{"a": 1}')
        assert CaddyAdmin(path, timeout=60).config() == {"a": 1}
