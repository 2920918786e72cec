"""A real gate on a real unix socket, over a real database written with the runtime's tables."""

# ruff: noqa: D102
from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
import uvloop
from argos.clock import FixedClock
from argos.epoch import EpochReader, EpochWriter
from argos.gate.server import serve
from argos.gate.sights import Sights
from argos.gate.store import Store
from argos.gate.verifier import Verifier
from argos.storage import tables

PANEL = "https://argos.home.example"
COOKIE = "__Secure-argos_session"
HOST = "photos.home.example"
IDLE = 3600


class Database:
    """What the runtime would have written, by its own table definitions, in WAL mode."""

    def __init__(self, path: Path, clock: FixedClock) -> None:
        self.path = path
        self.clock = clock
        self.engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.StaticPool)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            tables.metadata.create_all(connection)

    def execute(self, statement: sa.Executable) -> sa.CursorResult:
        with self.engine.begin() as connection:
            return connection.execute(statement)

    def settings(self, **values: object) -> None:
        row = {"id": 1, "panel_url": PANEL, "cookie_name": COOKIE, "idle_seconds": IDLE} | values
        self.execute(sa.delete(tables.gate_settings))
        self.execute(sa.insert(tables.gate_settings).values(row))

    def host(self, name: str = HOST, rule: str = '{"required": true}') -> None:
        self.execute(sa.delete(tables.gate_hosts).where(tables.gate_hosts.c.host_id == name))
        self.execute(sa.insert(tables.gate_hosts).values(host_id=name, rule=rule))

    def user(self, username: str = "alice", **values: object) -> int:
        row = {
            "username": username,
            "name": "Alice",
            "email": f"{username}@home.example",
            "role": "member",
            "created_at": 0,
            "updated_at": 0,
        }
        return self.execute(sa.insert(tables.users).values(row | values)).inserted_primary_key[0]

    def session(self, user_id: int, **values: object) -> str:
        """Add a session; return the cookie's text."""
        token, row = self._new_session(user_id)
        self.execute(sa.insert(tables.sessions).values(row | values))
        return token

    def sessions(self, user_id: int, number: int) -> list[str]:
        """Add many sessions in one transaction."""
        made = [self._new_session(user_id) for _unused in range(number)]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(tables.sessions), [row for _unused, row in made])
        return [token for token, _unused in made]

    def _new_session(self, user_id: int) -> tuple[str, dict[str, object]]:
        token = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        now = self.clock.now()
        return token, {
            "user_id": user_id,
            "panel_token_hash": secrets.token_bytes(32),
            "edge_token_hash": token_hash(token),
            "assurance": "full",
            "created_at": now,
            "last_seen_at": now,
            "expires_at": now + 7 * 86400,
            "address": "203.0.113.7",
        }

    def update_session(self, token: str, **values: object) -> None:
        of_token = tables.sessions.c.edge_token_hash == token_hash(token)
        self.execute(sa.update(tables.sessions).where(of_token).values(values))

    def delete_session(self, token: str) -> None:
        self.execute(sa.delete(tables.sessions).where(tables.sessions.c.edge_token_hash == token_hash(token)))

    def checkpoint(self) -> None:
        """Put everything into the one file, so that a copy of it is whole."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.engine.dispose()


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def headers(token: str | None = None, **replaced: str | None) -> dict[str, str]:
    """Return what Caddy would send for a browser that opens a page."""
    sent: dict[str, str | None] = {
        "Host": "argos-gate",
        "Argos-Host-Id": HOST,
        "Argos-Client-Ip": "203.0.113.7",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": HOST,
        "X-Forwarded-Uri": "/album?a=1&b=%2Fx",
        "Accept": "text/html",
        "Sec-Fetch-Mode": "navigate",
        "Cookie": f"{COOKIE}={token}" if token else None,
    }
    sent |= {name.replace("_", "-"): value for name, value in replaced.items()}
    return {name: value for name, value in sent.items() if value is not None}


def request_bytes(fields: dict[str, str], line: str = "GET /verify HTTP/1.1") -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{line}\r\n{head}\r\n".encode("latin-1")


class Response:
    """One parsed response."""

    def __init__(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = fields
        self.body = body


class Client:
    """A raw connection to the gate."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self._file = self.socket.makefile("rb")

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def receive(self) -> Response | None:
        """Read one response; None when the gate closed."""
        line = self._file.readline()
        if not line:
            return None
        fields: dict[str, str] = {}
        while (header := self._file.readline().rstrip(b"\r\n")) != b"":
            name, _unused, value = header.decode("latin-1").partition(": ")
            assert name.lower() not in fields, f"{name} came twice"
            fields[name.lower()] = value
        return Response(int(line.split()[1]), fields, self._file.read(int(fields["content-length"])))

    def ask(self, fields: dict[str, str]) -> Response:
        self.send(request_bytes(fields))
        response = self.receive()
        assert response is not None, "the gate closed without an answer"
        return response

    def at_end(self) -> bool:
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class RunningGate:
    """A gate in a thread of its own, with clocks that the test moves."""

    headers = staticmethod(headers)
    request_bytes = staticmethod(request_bytes)

    def __init__(self, directory: Path, clock: FixedClock) -> None:
        self.socket_path = directory / "gate.sock"
        self.clock = clock
        self.elapsed = 0.0
        self.sights = Sights(directory / "seen.sock")
        self.store = Store(directory / "argos.db")
        self.verifier = Verifier(
            self.store,
            EpochReader(directory / "epoch"),
            self.sights,
            clock.now,
            lambda: time.monotonic() + self.elapsed,
        )
        self._clients: list[Client] = []
        # It accepts from here on, whenever the thread gets to it, as with a socket of systemd's.
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.socket_path))
        self._listener.listen(64)
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)
        self._thread.start()
        self._up.wait(60)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._up.set()
        await serve(self._listener, self.verifier, {}, self._stop)

    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.elapsed += seconds

    def client(self) -> Client:
        client = Client(self.socket_path)
        self._clients.append(client)
        return client

    def ask(self, token: str | None = None, **replaced: str | None) -> Response:
        client = Client(self.socket_path)
        try:
            return client.ask(headers(token, **replaced))
        finally:
            client.close()

    def health(self) -> dict[str, object]:
        client = self.client()
        client.send(b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n")
        response = client.receive()
        assert response is not None
        return {"http_status": response.status} | json.loads(response.body)

    def begin_to_stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self.begin_to_stop()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.sights.close()


class Heart:
    """The runtime's side of the epoch: advanced once, then beating until it is stopped."""

    def __init__(self, path: Path) -> None:
        self.writer = EpochWriter(path)
        self.writer.advance()
        self._stopped = threading.Event()
        self.writer.beat()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stopped.wait(0.2):
            self.writer.beat()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def database(tmp_path: Path, clock: FixedClock) -> Iterator[Database]:
    made = Database(tmp_path / "argos.db", clock)
    made.settings()
    made.host()
    yield made
    made.close()


@pytest.fixture
def heart(tmp_path: Path) -> Iterator[Heart]:
    beating = Heart(tmp_path / "epoch")
    yield beating
    beating.stop()


@pytest.fixture
def gate(tmp_path: Path, database: Database, heart: Heart, clock: FixedClock) -> Iterator[RunningGate]:
    running = RunningGate(tmp_path, clock)
    yield running
    running.stop()


class Standing(NamedTuple):
    """A gate that many tests ask; none may change what it stands on."""

    gate: RunningGate
    database: Database
    heart: Heart


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """One gate for a whole module of questions."""
    directory, clock = tmp_path_factory.mktemp("standing"), FixedClock()
    database, heart = Database(directory / "argos.db", clock), Heart(directory / "epoch")
    database.settings()
    database.host()
    running = RunningGate(directory, clock)
    yield Standing(running, database, heart)
    running.stop()
    heart.stop()
    database.close()


@pytest.fixture
def lonely_gate(tmp_path: Path, clock: FixedClock) -> Iterator[RunningGate]:
    """A gate with neither database nor runtime."""
    running = RunningGate(tmp_path, clock)
    yield running
    running.stop()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait up to a minute for a condition."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not come true within a minute"
            time.sleep(0.02)

    return wait
