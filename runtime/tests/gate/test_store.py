"""A database that is missing, locked, broken, replaced or left by a killed writer: deny, and recover by itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.gate.store import Store, StoreUnavailable

pytestmark = pytest.mark.threat("FWD-3")


def test_a_gate_without_a_database_denies_until_there_is_one(lonely_gate, request, eventually) -> None:
    gate = lonely_gate
    assert gate.ask("a" * 43).status == 403
    health = gate.health()
    assert (health["http_status"], health["status"]) == (503, "degraded")
    assert "argos.db" in health["database"]
    database = request.getfixturevalue("database")
    token = database.session(database.user())
    eventually(lambda: gate.ask(token).status == 200)


def test_a_database_without_tables_or_settings_denies(lonely_gate, tmp_path, request, eventually) -> None:
    empty = sqlite3.connect(tmp_path / "argos.db")
    empty.execute("CREATE TABLE other (id)")
    empty.commit()
    empty.close()
    assert lonely_gate.ask("a" * 43).status == 403
    (tmp_path / "argos.db").unlink()
    database = request.getfixturevalue("database")
    token = database.session(database.user())
    eventually(lambda: lonely_gate.ask(token).status == 200)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_broken_file_denies_and_a_restored_one_counts(gate, database, heart, tmp_path, content, eventually) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    database.checkpoint()
    database.close()
    good = tmp_path / "good.db"
    shutil.copy(database.path, good)
    for name in ("argos.db", "argos.db-wal", "argos.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    database.path.write_bytes(content)
    heart.writer.advance()
    assert gate.ask(token).status in {302, 403}
    good.replace(database.path)
    eventually(lambda: gate.ask(token).status == 200)


def test_a_replaced_database_is_opened_anew(gate, database, heart, tmp_path, clock) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    other = type(database)(tmp_path / "other.db", clock)
    other.settings()
    other.host()
    restored = other.session(other.user("restored"))
    other.close()
    database.close()
    for name in ("argos.db-wal", "argos.db-shm"):  # a restore takes the old companions away
        (tmp_path / name).unlink()
    (tmp_path / "other.db").replace(database.path)
    heart.writer.advance()
    assert gate.ask(token).status == 302
    assert gate.ask(restored).headers["x-auth-user"] == "restored"


def test_a_locked_database_denies_soon_and_opens_again(tmp_path) -> None:
    path = tmp_path / "argos.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("CREATE TABLE gate_settings (id, panel_url, cookie_name, idle_seconds)")
    writer.execute("INSERT INTO gate_settings VALUES (1, 'https://p', 'c', 5)")
    writer.execute("BEGIN EXCLUSIVE")
    store = Store(path)
    with pytest.raises(StoreUnavailable, match="locked"):
        store.settings()
    writer.execute("COMMIT")
    assert store.settings().idle_seconds == 5
    store.close()
    writer.close()


def test_the_gates_connection_cannot_write(gate, database) -> None:
    token = database.session(database.user())
    store = Store(database.path)
    store.settings()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._connection.execute("DELETE FROM sessions")
    store.close()
    assert gate.ask(token).status == 200


WRITER = """
    import sqlite3, sys, time
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM sessions")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_writer_killed_in_the_middle_changes_nothing(gate, database, heart) -> None:
    token = database.session(database.user())
    assert gate.ask(token).status == 200
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(database.path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "begun\n"
    heart.writer.advance()
    assert gate.ask(token).status == 200  # readers of a WAL do not wait for a writer
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    heart.writer.advance()
    assert gate.ask(token).status == 200
    database.delete_session(token)
    heart.writer.advance()
    assert gate.ask(token).status == 302


# Only after the imports: the checkout itself may be closed to other users.
BECOME_NOBODY = """
import os
def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def reading(code: str, database: Path) -> list[str]:
    return [sys.executable, "-c", BECOME_NOBODY + textwrap.dedent(code), str(database)]


def read_once(database: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = reading(READER, database)
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


READER = """
    import sys
    from pathlib import Path
    from argos.gate.store import Store
    become_nobody()
    print(Store(Path(sys.argv[1])).settings().cookie_name)
"""

LASTING_READER = """
    import sys
    from pathlib import Path
    from argos.gate.store import Store
    become_nobody()
    store = Store(Path(sys.argv[1]))
    for _ in sys.stdin:
        print(store.settings().idle_seconds, flush=True)
"""


@pytest.fixture
def open_to_nobody(database) -> Iterator[Path]:
    """A copy of the database where another user may read it, with neither -wal nor -shm.

    Not below pytest's own directory: each pytest that starts, of another suite too, closes that to others.
    """
    database.close()  # the last connection is gone, and with it both
    with tempfile.TemporaryDirectory(prefix="argos-gate-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        data = Path(directory) / "data"
        data.mkdir()
        data.chmod(0o755)
        shutil.copy(database.path, data / "argos.db")
        yield data


def prepare(environ: dict[str, str]) -> None:
    code = "import os; from argos.gate.prepare import run; raise SystemExit(run(os.environ))"
    prepared = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert prepared.returncode == 0, prepared.stderr


@pytest.mark.threat("LOG-5")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_gate_that_began_alone_sees_every_commit_of_writers_that_come_and_go(open_to_nobody) -> None:
    data = open_to_nobody
    environ = {"ARGOS_DATA_DIR": str(data), "PATH": os.environ["PATH"]}
    prepare(environ)
    reader = subprocess.Popen(
        reading(LASTING_READER, data / "argos.db"),
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def seen() -> int:
        reader.stdin.write("now\n")
        reader.stdin.flush()
        return int(reader.stdout.readline())

    assert seen() == 3600
    for value in range(1, 60):
        writer = sqlite3.connect(data / "argos.db", isolation_level=None)
        writer.execute("UPDATE gate_settings SET idle_seconds = ?", (value,))
        assert seen() == value
        if value % 3 == 0:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert seen() == value
        writer.close()
        assert seen() == value
    code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)"
    code += "; c.execute('UPDATE gate_settings SET idle_seconds = 99'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(data / "argos.db")], check=False)
    assert seen() == 99
    reader.stdin.close()
    assert reader.wait(60) == 0
    reader.stdout.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_prepare_lets_a_reader_without_write_permission_open_the_database(open_to_nobody) -> None:
    data = open_to_nobody
    environ = {"ARGOS_DATA_DIR": str(data), "PATH": os.environ["PATH"]}
    alone = read_once(data / "argos.db", environ)
    assert alone.returncode != 0, "the test proves nothing if the reader can open it unprepared"
    prepare(environ)
    assert (data / "argos.db-wal").exists()
    assert (data / "argos.db-shm").exists()
    after = read_once(data / "argos.db", environ)
    assert after.stdout == "__Secure-argos_session\n", after.stderr


def test_prepare_without_a_database_is_no_failure(tmp_path) -> None:
    environ = {"ARGOS_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    code = "import os; from argos.gate.prepare import run; raise SystemExit(run(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "no database yet" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_prepare_tells_a_broken_database(tmp_path) -> None:
    (tmp_path / "argos.db").write_bytes(b"no database" * 1000)
    environ = {"ARGOS_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    code = "import os; from argos.gate.prepare import run; raise SystemExit(run(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be read" in done.stderr


def test_a_session_carries_the_persons_groups_role_verified_address_and_second_factor(tmp_path: Path, database) -> None:
    user = database.user(groups='["family", "role:admin", "work"]', email_verified=True)
    token = database.session(user, second_factor=True)
    found = Store(tmp_path / "argos.db").session(hashlib.sha256(token.encode()).digest())
    assert found is not None
    assert found.groups == ("family", "work", "role:member")
    assert found.email_verified
    assert found.second_factor


def test_groups_that_cannot_be_read_let_nobody_in(gate, database) -> None:
    token = database.session(database.user(groups='{"family": 1}'))
    assert gate.ask(token).status == 403


@pytest.mark.threat("AUT-2")
def test_what_a_public_path_was_answered_opens_no_other_path(gate, database) -> None:
    database.host(rule='{"required": true, "groups": ["family"], "public_paths": ["/health"]}')
    token = database.session(database.user())
    for _unused in range(3):
        assert gate.ask(token, X_Forwarded_Uri="/health").headers["x-auth-user"] == "alice"
        assert gate.ask(token, X_Forwarded_Uri="/private").status == 403
    anonymous = gate.ask(None, X_Forwarded_Uri="/health")
    assert anonymous.status == 200
    assert [anonymous.headers[f"x-auth-{name}"] for name in ("user", "email", "name", "provider")] == [""] * 4
    assert anonymous.headers["argos-visitor"] == "anonymous"
