"""`argos key rotate` beside a runtime that does not say which keys it holds."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from argos.application import Application
from argos.doctor.key import wanted_ids
from argos.settings import Settings
from argos.vault import key_id

KEY, NEXT_KEY = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A guest whose database is under ``KEY`` and whose settings name ``NEXT_KEY`` too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "epoch").write_bytes(bytes(16))
    settings = {
        "ARGOS_MASTER_KEY": base64.b64encode(KEY).decode(),
        "ARGOS_DATA_DIR": str(tmp_path / "data"),
        "ARGOS_EPOCH_FILE": str(tmp_path / "epoch"),
        "ARGOS_ADMIN_SOCKET": str(tmp_path / "admin.sock"),
    }
    Application.from_settings(Settings.from_environment(settings), password_cost=4).close()
    return {**settings, "ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}


@contextmanager
def answering(path: str, answer: bytes) -> Iterator[None]:
    """Something at the socket that gives one ``answer``, whatever it is asked."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()

        def serve() -> None:
            with door.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield


def rotated(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "argos", "key", "rotate"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.threat("SEC-4")
@pytest.mark.parametrize("answer", [b"", b"not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{half"])
def test_a_runtime_that_gives_no_clear_answer_is_not_taken_for_a_stopped_one(
    environment: dict[str, str], answer: bytes
) -> None:
    with answering(environment["ARGOS_ADMIN_SOCKET"], answer):
        done = rotated(environment)
    assert done.returncode == 69, done.stderr
    assert "does not say which keys it holds" in done.stderr
    assert wanted_ids(Settings.from_environment(environment).database) == {key_id(KEY)}


def test_beside_a_stopped_runtime_it_rotates(environment: dict[str, str]) -> None:
    with socket.socket(socket.AF_UNIX) as door:  # what a killed runtime leaves: a socket that nobody listens at
        door.bind(environment["ARGOS_ADMIN_SOCKET"])
    done = rotated(environment)
    assert done.returncode == 0, done.stderr
    assert wanted_ids(Settings.from_environment(environment).database) == {key_id(NEXT_KEY)}
