"""Each check says what is wrong, in words that name it, and what to do."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from argos.audit import Actor, Audit
from argos.cli.health import _kept_by_caddy
from argos.clock import SystemClock
from argos.doctor.clients import check_clients
from argos.doctor.crowdsec import check_lapi
from argos.doctor.database import check_clock, check_database, check_disk
from argos.doctor.examine import examine
from argos.doctor.finding import Finding, worst
from argos.doctor.key import check_key
from argos.doctor.neighbours import check_caddy, check_gate
from argos.doctor.record import check_record
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.vault import Vault


@contextmanager
def answering(where: Path | None, answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A real HTTP server, on a unix socket or on loopback, that gives one answer a path; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "peer"

        def log_message(self, *_unused: object) -> None:
            pass

    class UnixServer(HTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)  # type: ignore[arg-type]
            self.server_name, self.server_port = "unix", 0

    server = UnixServer(str(where), Handler) if where else HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    storage = Storage(tmp_path / "argos.db", SystemClock())
    storage.migrate()
    Vault(storage, bytes(32))
    storage.close()
    return tmp_path / "argos.db"


def test_a_missing_a_whole_and_a_damaged_database(database: Path) -> None:
    assert check_database(database.with_name("none.db")).state == "failed"
    assert check_database(database).state == "ok"
    database.write_bytes(database.read_bytes()[:4096] + os.urandom(60_000))
    damaged = check_database(database)
    assert damaged.state == "failed"
    assert "backup" in damaged.advice


def test_the_wrong_key_is_told_by_its_id(database: Path) -> None:
    assert check_key(Settings(master_key=bytes(32), data_dir=database.parent)).state == "ok"
    wrong = check_key(Settings(master_key=bytes([1] * 32), data_dir=database.parent))
    assert wrong.state == "failed"
    assert "needs the master key with id" in wrong.message
    assert check_key(Settings(master_key=None, data_dir=database.parent)).state == "failed"


@pytest.mark.threat("DAT-3")
def test_a_row_taken_out_of_the_record_shows(database: Path) -> None:
    settings = Settings(master_key=bytes(32), data_dir=database.parent)
    storage = Storage(database, SystemClock())
    audit = Audit(storage, Vault(storage, bytes(32)), Scrubber())
    for name in ("alice", "bob", "carol"):
        with storage.write() as connection:
            audit.record(connection, Actor("cli", "root"), "user.create", f"user/{name}")
    storage.close()
    assert check_record(settings).state == "ok"
    connection = sqlite3.connect(database)
    connection.execute("DELETE FROM audit WHERE id = 2")
    connection.commit()
    connection.close()
    found = check_record(settings)
    assert found.state == "failed"
    assert "row 2" in found.message


@pytest.mark.threat("DAT-3")
def test_a_checkpoint_of_the_record_that_is_gone_is_warned_of(database: Path) -> None:
    settings = Settings(master_key=bytes(32), data_dir=database.parent)
    storage = Storage(database, SystemClock())
    audit = Audit(storage, Vault(storage, bytes(32)), Scrubber())
    with storage.write() as connection:
        audit.record(connection, Actor("cli", "root"), "user.create", "user/alice")
    assert check_record(settings).state == "ok", "none was written yet"
    audit.checkpoint()
    storage.close()
    assert check_record(settings).state == "ok"
    database.with_name("audit.checkpoint").unlink()
    found = check_record(settings)
    assert (found.state, "is missing" in found.message) == ("warning", True)
    assert "sudo argos audit checkpoint" in found.advice


def test_a_clock_that_was_set_back_shows(database: Path) -> None:
    assert check_clock(database).state == "ok"
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO audit (at, actor, action, target, key_version, previous, hash) "
            "VALUES (?, '', '', '', 1, ?, ?)",
            (int(time.time()) + 5000, bytes(32), bytes(32)),
        )
    connection.close()
    assert check_clock(database).state == "warning"


def test_free_space_is_looked_at_where_we_write(tmp_path: Path) -> None:
    assert check_disk([tmp_path, tmp_path / "missing"]).state == "ok"
    full = check_disk([Path("/proc")])  # a file system with nothing free
    assert full.state == "failed"
    assert "/proc" in full.message
    assert check_disk([tmp_path], tmp_path).state == "ok"
    no_backup = check_disk([tmp_path], Path("/proc"))
    assert (no_backup.state, "for backups at /proc" in no_backup.message) == ("warning", True)
    both = check_disk([Path("/proc")], Path("/proc"))
    assert (both.state, both.message.count("/proc")) == ("failed", 2)


@pytest.mark.parametrize(
    ("place", "state"),
    [
        ("data_dir", "failed"),
        ("edge_dir", "failed"),
        ("access_log", "failed"),
        ("caddy_storage", "failed"),
        ("backup_dir", "warning"),
    ],
)
def test_the_doctor_looks_for_space_everywhere_that_the_edge_writes(tmp_path: Path, place: str, state: str) -> None:
    places = dict.fromkeys(("data_dir", "edge_dir", "caddy_storage", "backup_dir", "credentials_dir"), tmp_path)
    sockets = dict.fromkeys(("caddy_socket", "gate_socket"), tmp_path / "none.sock")
    settings = Settings(**places, **sockets, access_log=tmp_path / "access.log")
    full = Path("/proc/access.log") if place == "access_log" else Path("/proc")  # nothing is free there
    found = {one.name: one for one in examine(replace(settings, **{place: full}))}
    assert (found["disk"].state, "/proc" in found["disk"].message) == (state, True)


def test_caddy_away_or_running_something_else(tmp_path: Path) -> None:
    admin, active = tmp_path / "caddy.sock", tmp_path / "caddy.json"
    assert check_caddy(admin, active).state == "failed"
    with answering(admin, {"/config/": (200, b'{"apps": {"http": {}}}')}):
        assert check_caddy(admin, active).state == "ok", "nothing applied yet"
        active.write_text('{"apps":{"http":{}}}')
        assert check_caddy(admin, active).state == "ok"
        active.write_text('{"apps":{"http":{"x":1}}}')
        other = check_caddy(admin, active)
        assert other.state == "failed"
        assert "active revision" in other.message


def test_the_gate_that_cannot_decide_says_why(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    assert check_gate(path).state == "failed"
    with answering(path, {"/healthz": (200, b"ok")}):
        assert check_gate(path).state == "ok"
    path.unlink()
    with answering(path, {"/healthz": (503, b"unable to open database file")}):
        assert "unable to open database file" in check_gate(path).message


def crowdsec(**view: object) -> bytes:
    return json.dumps(
        {"running": True, "decisions": 3, "seconds_since_answer": 4, "error": "", "state_error": ""} | view
    ).encode()


@pytest.mark.parametrize(
    ("lapi", "caddy", "state", "word"),
    [
        (200, crowdsec(), "ok", "4 s ago"),
        (200, crowdsec(seconds_since_answer=500, error="connection refused"), "failed", "500 s old"),
        (200, crowdsec(seconds_since_answer=None), "failed", "no answer"),
        (200, crowdsec(running=False), "warning", "enforces no bans"),
        (200, crowdsec(state_error="disk full"), "failed", "cannot save"),
        (200, crowdsec(left_out=0), "ok", "4 s ago"),
        (200, crowdsec(left_out=12), "failed", "12 bans are not enforced"),
        (403, crowdsec(), "failed", "refuses the bouncer's key"),
        (500, crowdsec(), "failed", "answers 500"),
    ],
)
def test_crowdsec_from_both_sides(tmp_path: Path, lapi: int, caddy: bytes, state: str, word: str) -> None:
    key, admin = tmp_path / "key", tmp_path / "caddy.sock"
    key.write_text("abcdef\n")
    with (
        answering(None, {"/v1/decisions": (lapi, b"null")}) as url,
        answering(admin, {"/argos/crowdsec": (200, caddy)}),
    ):
        found = check_lapi(url, key, admin)
    assert found.state == state
    assert word in found.message


def test_status_shows_how_full_the_edges_tables_are(tmp_path: Path) -> None:
    admin = tmp_path / "caddy.sock"
    limits = b'{"keys": 4, "most_keys": 100000}'
    for held, rows in ((crowdsec(decisions=7, most=250_000), [("caddy: bans", 7, 250_000)]), (b'{"most": 0}', [])):
        with answering(admin, {"/argos/rate_limit": (200, limits), "/argos/crowdsec": (200, held)}):
            shown = [(row["name"], row["rows"], row["bound"]) for row in _kept_by_caddy(admin)]
        assert shown == [("caddy: rate limits", 4, 100_000), *rows]
        admin.unlink()
    assert _kept_by_caddy(admin) == []


def test_crowdsec_away_or_without_a_key(tmp_path: Path) -> None:
    missing = check_lapi("http://127.0.0.1:1", tmp_path / "key", tmp_path / "caddy.sock")
    assert (missing.state, "bouncer key" in missing.message) == ("failed", True)
    (tmp_path / "key").write_text("abcdef")
    away = check_lapi("http://127.0.0.1:1", tmp_path / "key", tmp_path / "caddy.sock")
    assert (away.state, "does not answer" in away.message) == ("failed", True)


def test_crowdsec_switched_off_is_said_and_its_declared_address_is_asked(database: Path) -> None:
    settings = Settings(
        master_key=bytes(32),
        data_dir=database.parent,
        credentials_dir=database.parent,
        caddy_socket=database.with_name("caddy.sock"),
        lapi_url="http://127.0.0.1:1",
    )
    (database.parent / "crowdsec-bouncer-key").write_text("abcdef")

    def declare(**spec: object) -> Finding:
        with sqlite3.connect(database) as connection:
            row = (json.dumps(spec),)
            connection.execute("INSERT OR REPLACE INTO resources VALUES ('settings', 'crowdsec', ?, '', 0)", row)
        connection.close()
        return next(finding for finding in examine(settings) if finding.name == "CrowdSec")

    off = declare(enabled=False)
    assert off.state == "warning"
    assert "nobody is banned" in off.message
    with answering(None, {"/v1/decisions": (403, b"")}) as url:
        assert "refuses the bouncer's key" in declare(enabled=True, lapi_url=url).message


def line(address: object) -> str:
    return json.dumps({"request": {"client_ip": address}}) + "\n"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (line("10.0.3.1") * 30, "warning"),
        (line("fd00::1") * 30, "warning"),
        (line("10.0.3.1") * 5, "ok"),
        (line("203.0.113.9") * 30, "ok"),
        (line("10.0.3.1") * 30 + line("203.0.113.9"), "ok"),
        ("", "ok"),
        ("not json\n" + line(5) + line(None) + "[]\n\xff\n", "ok"),
    ],
)
def test_all_clients_behind_one_private_address(tmp_path: Path, text: str, state: str) -> None:
    log = tmp_path / "access.log"
    log.write_text(text)
    found = check_clients(log)
    assert found.state == state
    assert state == "ok" or "DNAT" in found.advice


def test_only_what_is_broken_degrades() -> None:
    assert worst([Finding("a", "ok", ""), Finding("b", "warning", ""), Finding("c", "unknown", "")]) == "ok"
    assert worst([Finding("a", "ok", ""), Finding("b", "failed", "")]) == "degraded"
