"""The gate as systemd runs it: a process of its own, on a socket it was handed, started, stopped and killed."""

# ruff: noqa: D102
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from argos.gate.server import GRACE_SECONDS

# What systemd does: the listener as descriptor 3, LISTEN_PID naming the process itself.
LAUNCH = """
import os, sys
if "ARGOS_TEST_FD" in os.environ:
    os.dup2(int(os.environ["ARGOS_TEST_FD"]), 3)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
from argos.gate.server import run
sys.exit(run(os.environ))
"""


class GateProcess:
    """Starts ``argos gate`` again and again on one listening socket."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "activated.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(512)
        self.listener.set_inheritable(True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(directory / "notify.sock"))
        self.notify.settimeout(60)
        self.environ = {
            "PATH": os.environ["PATH"],
            "ARGOS_DATA_DIR": str(directory),
            "ARGOS_SEEN_SOCKET": str(directory / "seen.sock"),
            "ARGOS_EPOCH_FILE": str(directory / "epoch"),
            "ARGOS_TEST_FD": str(self.listener.fileno()),
            "NOTIFY_SOCKET": str(directory / "notify.sock"),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH],
            env=self.environ,
            pass_fds=[self.listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def wait_ready(self) -> None:
        while not self.notify.recv(1000).startswith(b"READY=1"):
            pass

    def end(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        self.listener.close()
        self.notify.close()


@pytest.fixture
def process(tmp_path):
    made = GateProcess(tmp_path)
    yield made
    made.end()


class Load:
    """Clients that ask without a pause, each keeping its connection as long as the gate lets it.

    A connection that is idle for as long as the grace is closed, whatever comes at that moment: a client whose thread
    had no turn for so long asks again on another one, as Caddy does. Any other connection that is lost is an error.
    """

    def __init__(self, connect: Callable[[], object], request: bytes, clients: int = 8) -> None:
        self._connect = connect
        self._request = request
        self._over = threading.Event()
        self.statuses: list[int | None] = []
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _unused in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        used_at, client = time.monotonic(), self._connect()
        try:
            while not self._over.is_set():
                idle_since, used_at = used_at, time.monotonic()
                response, sent_at = self._answer(client)
                if response is not None:
                    self.statuses.append(response.status)
                else:
                    assert sent_at - idle_since > GRACE_SECONDS, "a connection in use was closed without an answer"
                if response is None or response.headers.get("connection") == "close":
                    client.close()
                    used_at, client = time.monotonic(), self._connect()
        except (OSError, AssertionError) as error:
            self.errors.append(error)
        finally:
            client.close()

    def _answer(self, client: object) -> tuple[object, float]:
        """Ask; return the answer, None where the connection is closed, and until when the request was sent."""
        sent_at = None
        try:
            client.send(self._request)
            sent_at = time.monotonic()
            return client.receive(), sent_at
        except (BrokenPipeError, ConnectionResetError):
            return None, sent_at or time.monotonic()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def client_type(lonely_gate):
    return type(lonely_gate.client())


def test_a_graceful_restart_under_load_loses_no_request(
    process, database, heart, lonely_gate, client_type, eventually
) -> None:
    token = database.session(database.user())
    process.start()
    process.wait_ready()
    request = lonely_gate.request_bytes(lonely_gate.headers(token))
    load = Load(lambda: client_type(process.path), request)
    for _unused in range(2):
        asked = len(load.statuses) + 100
        eventually(lambda: len(load.statuses) > asked or load.errors != [])  # noqa: B023
        old = process.process
        old.send_signal(signal.SIGTERM)
        assert old.wait(60) == 0
        time.sleep(0.2)  # nobody accepts now: the kernel queues
        process.start()
        process.wait_ready()
    asked = len(load.statuses) + 100
    eventually(lambda: len(load.statuses) > asked or load.errors != [])
    load.stop()
    assert load.errors == []
    assert set(load.statuses) == {200}


def test_a_killed_gate_is_followed_by_one_that_knows_the_same_sessions(
    process, database, lonely_gate, client_type
) -> None:
    token = database.session(database.user())
    process.start()
    process.wait_ready()
    assert client_type(process.path).ask(lonely_gate.headers(token)).status == 200
    process.process.kill()
    process.process.wait()
    waiting = client_type(process.path)  # queued by the listener that systemd holds
    waiting.send(lonely_gate.request_bytes(lonely_gate.headers(token)))
    process.start()
    assert waiting.receive().status == 200


def test_an_idle_connection_does_not_hold_up_the_stop(process, database, lonely_gate, client_type) -> None:
    process.start()
    process.wait_ready()
    idle = client_type(process.path)
    assert idle.ask(lonely_gate.headers()).status == 302
    half = client_type(process.path)
    half.send(b"GET /verify HTTP/1.1\r\n")
    begun = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(60) == 0
    assert time.monotonic() - begun < 30, "an idle connection may stay for three minutes"
    assert idle.at_end()


def test_the_journal_tells_why_everyone_is_denied_once(process, tmp_path, lonely_gate, client_type) -> None:
    process.start()
    process.wait_ready()
    for _unused in range(5):
        assert client_type(process.path).ask(lonely_gate.headers("a" * 43)).status == 403
    process.process.send_signal(signal.SIGTERM)
    _unused, errors = process.process.communicate(timeout=60)
    assert errors.count("denying every request") == 1
    assert "argos.db" in errors
    assert "a" * 43 not in errors


def test_without_systemd_it_makes_its_own_socket_and_replaces_a_stale_one(
    process, database, tmp_path, client_type, lonely_gate
) -> None:
    path = tmp_path / "own.sock"
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stale.bind(str(path))
    stale.close()
    del process.environ["ARGOS_TEST_FD"]
    process.environ["ARGOS_GATE_SOCKET"] = str(path)
    process.start()
    process.wait_ready()
    assert client_type(path).ask(lonely_gate.headers()).status == 302
    assert path.stat().st_mode & 0o777 == 0o660


FORBIDDEN = (
    "sqlalchemy",
    "falcon",
    "jinja2",
    "alembic",
    "bcrypt",
    "cryptography",
    "waitress",
    "argos.vault",
    "argos.storage",
)


def test_the_gate_imports_only_what_it_needs() -> None:
    code = "import sys; import argos.gate.server, argos.gate.prepare; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in modules if name.startswith("argos")}
    assert ours == {"argos", "argos.clock", "argos.epoch", "argos.gate", "argos.half_restored"} | {
        f"argos.gate.{name}"
        for name in (
            "connections",
            "cookies",
            "decision",
            "denied_page",
            "prepare",
            "protocol",
            "public_paths",
            "server",
            "sights",
            "store",
            "verifier",
        )
    }
    assert not [name for name in modules if name.startswith(FORBIDDEN)]


def test_ten_thousand_sessions_fit_into_45_megabytes(process, database, heart, lonely_gate, client_type) -> None:
    user = database.user()
    tokens = database.sessions(user, 10_000)
    process.start()
    process.wait_ready()
    client = client_type(process.path)
    for begin in range(0, len(tokens), 100):
        batch = tokens[begin : begin + 100]
        client.send(b"".join(lonely_gate.request_bytes(lonely_gate.headers(token)) for token in batch))
        assert {client.receive().status for _unused in batch} == {200}
    status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    (kilobytes,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    assert kilobytes / 1024 <= 45
