"""What the storage promises: transactions, durability, and file modes, on a real file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from argos.clock import FixedClock
from argos.errors import Unavailable
from argos.storage.engine import Storage
from argos.storage.tables import meta
from argos.storage.turn import in_turn, taken
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError


def test_a_write_commits_at_the_end_and_is_seen_by_a_read(storage: Storage) -> None:
    with storage.write() as connection:
        connection.execute(insert(meta).values(key="a", value="1"))
    with storage.read() as connection:
        assert connection.scalar(select(meta.c.value).where(meta.c.key == "a")) == "1"


def test_an_exception_rolls_everything_back(storage: Storage) -> None:
    def fail() -> None:
        with storage.write() as connection:
            connection.execute(insert(meta).values(key="a", value="1"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with storage.read() as connection:
        assert connection.execute(select(meta)).all() == []


def test_a_reader_cannot_write(storage: Storage) -> None:
    with pytest.raises(Unavailable, match="readonly"), storage.read() as connection:
        connection.execute(insert(meta).values(key="a", value="1"))


def test_a_read_sees_one_snapshot(storage: Storage) -> None:
    with storage.read() as reading:
        assert reading.execute(select(meta)).all() == []
        with storage.write() as connection:
            connection.execute(insert(meta).values(key="a", value="1"))
        assert reading.execute(select(meta)).all() == []


def test_a_write_inside_a_write_is_a_bug_and_says_so(storage: Storage) -> None:
    with storage.write(), pytest.raises(RuntimeError, match="write\\(\\) inside write\\(\\)"), storage.write():
        pass


def test_every_connection_is_durable_and_checks_foreign_keys(storage: Storage) -> None:
    for transaction in (storage.read, storage.write):
        with transaction() as connection:
            pragmas = {
                name: connection.execute(text(statement)).scalar()
                for name, statement in {
                    "journal": "PRAGMA journal_mode",
                    "synchronous": "PRAGMA synchronous",
                    "foreign_keys": "PRAGMA foreign_keys",
                    "timeout": "PRAGMA busy_timeout",
                }.items()
            }
        assert pragmas == {"journal": "wal", "synchronous": 2, "foreign_keys": 1, "timeout": 10_000}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_the_gate_reads_is_0640_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        storage = Storage(tmp_path / "argos.db", FixedClock())
        storage.migrate()
        with storage.write() as connection:
            connection.execute(insert(meta).values(key="a", value="1"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"argos.db": 0o640, "argos.db-wal": 0o640, "argos.db-shm": 0o640, "argos.db.turn": 0o600}
    storage.close()


def test_a_path_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "absent" / "argos.db", FixedClock())
    with pytest.raises(Unavailable, match=r"absent/argos\.db"), storage.read():
        pass
    with pytest.raises(Unavailable, match=r"absent/argos\.db"):
        storage.migrate()
    lonely = Storage(tmp_path / "argos.db", FixedClock())
    with pytest.raises(Unavailable), lonely.write():
        pass
    assert not (tmp_path / "argos.db").exists()


def test_a_path_with_odd_characters_is_one_file(tmp_path: Path) -> None:
    directory = tmp_path / "a?b#c%20d"
    directory.mkdir()
    storage = Storage(directory / "argos.db", FixedClock())
    storage.migrate()
    assert (directory / "argos.db").is_file()
    storage.close()


def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "argos.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    storage = Storage(path, FixedClock())
    with pytest.raises(Unavailable, match="not a database"):
        storage.migrate()


def test_an_error_shows_no_values(storage: Storage) -> None:
    with storage.write() as connection:
        connection.execute(insert(meta).values(key="a", value="1"))
    with pytest.raises(IntegrityError) as raised, storage.write() as connection:
        connection.execute(insert(meta).values(key="a", value="a planted value"))
    assert "a planted value" not in str(raised.value)


ADD = """
import sys
import threading
import time
from pathlib import Path
from argos.clock import FixedClock
from argos.storage.engine import Storage
from argos.storage.tables import meta
from argos.storage.turn import in_turn, taken
from sqlalchemy import select, update

storage = Storage(Path(sys.argv[1]), FixedClock())
for _ in range(60):
    with storage.write() as connection:
        # Read, then write: what fails under load in a deferred transaction.
        value = connection.scalar(select(meta.c.value).where(meta.c.key == "sum"))
        connection.execute(update(meta).where(meta.c.key == "sum").values(value=str(int(value) + 1)))
"""


def test_two_writers_and_a_reader_never_see_a_locked_database(storage: Storage, database: Path) -> None:
    with storage.write() as connection:
        connection.execute(insert(meta).values(key="sum", value="0"))
    writers = [subprocess.Popen([sys.executable, "-c", ADD, str(database)]) for _unused in range(2)]
    seen = []
    while any(writer.poll() is None for writer in writers):
        with storage.read() as connection:
            seen.append(int(connection.scalar(select(meta.c.value).where(meta.c.key == "sum"))))
        with storage.write() as connection:
            connection.execute(update(meta).where(meta.c.key == "sum").values(value=meta.c.value + 0))
    assert [writer.returncode for writer in writers] == [0, 0]
    with storage.read() as connection:
        assert int(connection.scalar(select(meta.c.value).where(meta.c.key == "sum"))) == 120
    assert seen == sorted(seen)


def test_opening_it_once_more_takes_nobodys_log_away(tmp_path: Path) -> None:
    path = tmp_path / "argos.db"
    first = Storage(path, FixedClock())
    first.migrate()
    note = "INSERT INTO meta (key, value) VALUES (?, '')"
    with first.write() as connection:
        connection.exec_driver_sql(note, ("one",))
    Storage(path, FixedClock()).migrate()
    # Another process comes and goes: were our locks gone, it would take itself for the last and delete the log.
    script = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute({note!r}, ('two',)); c.commit(); c.close()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    with first.write() as connection:
        connection.exec_driver_sql(note, ("three",))
    script = f"import sqlite3; print(sqlite3.connect({str(path)!r}).execute('SELECT key FROM meta').fetchall())"
    seen = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True).stdout
    assert all(key in seen for key in ("one", "two", "three")), seen
    first.close()


def test_processes_write_in_turn_and_nobody_waits_for_one_that_hangs(tmp_path: Path) -> None:
    line = tmp_path / "argos.db.turn"
    with in_turn(line, 5):
        assert stat.S_IMODE(line.stat().st_mode) == 0o600, "whoever may open it could make others wait"
        other = line.open("rb")
        assert not taken(other.fileno())
        begun = time.monotonic()
        with in_turn(line, 0.2):
            assert time.monotonic() - begun >= 0.2
    assert taken(other.fileno())
    other.close()
    with in_turn(tmp_path / "nowhere" / "argos.db.turn", 5):
        pass


def test_what_was_overwritten_is_forgotten_without_keeping_writers_out(
    storage: Storage, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite holds the lock of writers while it waits for a reader to go, which may take as long as a backup."""
    # As often as it takes: a commit on a busy disk may take longer than its four seconds.
    monkeypatch.setattr("argos.storage.engine._FORGET_AFTER_S", (0, *[0.2] * 600))
    other = Storage(database, FixedClock())
    with storage.write() as connection:
        connection.execute(insert(meta).values(key="a", value="overwritten-soon"))
    wal = database.with_name(f"{database.name}-wal")
    with other.read() as snapshot:
        assert snapshot.scalar(select(meta.c.value)) == "overwritten-soon"
        with storage.write() as connection:
            connection.execute(update(meta).values(value="new"))
        forgetting = threading.Thread(target=storage.forget_overwritten)
        forgetting.start()
        time.sleep(0.1)  # for it to begin; late, it disturbs no writer, and the test proves nothing that is untrue
        with other.write() as connection:
            connection.execute(update(meta).values(value="newer"))
        assert forgetting.is_alive(), "the writer had its turn while the reader still held it up"
        assert b"overwritten-soon" in wal.read_bytes()
    forgetting.join()
    storage.forget_overwritten()
    assert wal.stat().st_size == 0
    other.close()
