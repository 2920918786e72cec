"""A minute of two processes that write as fast as they can, and one that reads as the gate does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from argos.audit import Audit
from argos.clock import SystemClock
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.vault import Vault

SECONDS = 60
LEAST = 100
"""Transactions, or readings, of each: on a disk that is slow enough they go on for longer."""
WRITER = """
import json, sys, time
from pathlib import Path
from sqlalchemy import update
from argos.audit import Actor, Audit
from argos.clock import SystemClock
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import sessions
from argos.vault import Vault
storage = Storage(Path(sys.argv[1]), SystemClock())
audit = Audit(storage, Vault(storage, bytes(range(32))), Scrubber())
until, done, longest = time.monotonic() + float(sys.argv[2]), 0, 0.0
while (begun := time.monotonic()) < until or done < int(sys.argv[4]):
    with storage.write() as connection:
        connection.execute(update(sessions).values(last_seen_at=done))
        audit.record(connection, Actor("cli", sys.argv[3]), "host.update", f"host/{done}", {"n": done}, {"n": done + 1})
    done += 1
    longest = max(longest, time.monotonic() - begun)
print(json.dumps([done, longest]))
"""
READER = """
import json, sys, time
from pathlib import Path
from argos.gate.store import Store
store = Store(Path(sys.argv[1]))
until, done, longest, last = time.monotonic() + float(sys.argv[2]), 0, 0.0, 0
while (begun := time.monotonic()) < until or done < int(sys.argv[4]):
    facts, rule = store.session(bytes(32)), store.rule("host")
    assert facts.username == "alice" and rule.required and store.settings().cookie_name == "session"
    done += 1
    longest = max(longest, time.monotonic() - begun)
    time.sleep(0.0005)  # a visitor's request; the reader must not be what the writers wait for
print(json.dumps([done, longest]))
"""
ROWS = """
INSERT INTO users (id, username, role, created_at, updated_at) VALUES (1, 'alice', 'member', 0, 0);
INSERT INTO sessions (user_id, panel_token_hash, edge_token_hash, assurance, created_at, last_seen_at, expires_at,
    address) VALUES (1, zeroblob(32), zeroblob(32), 'full', 0, 0, 9999999999, '192.0.2.7');
INSERT INTO gate_hosts VALUES ('host', '{"required": true}');
INSERT INTO gate_settings VALUES (1, 'https://argos.home.example', 'session', 86400);
"""


def test_two_writers_and_the_gate_never_meet_a_locked_database(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "argos.db", SystemClock())
    storage.migrate()
    with storage.write() as connection:
        for statement in ROWS.split(";")[:-1]:
            connection.exec_driver_sql(statement)
    audit = Audit(storage, Vault(storage, bytes(range(32))), Scrubber())
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(storage.path), str(SECONDS), name, str(LEAST)],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script, name in ((WRITER, "one"), (WRITER, "two"), (READER, "gate"))
    ]
    outputs = [process.communicate(timeout=SECONDS + 120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outputs
    (one, longest), (two, other), (read, _unused) = (json.loads(output) for output, _errors in outputs)
    assert min(one, two, read) >= LEAST, outputs
    print(f"{one} and {two} transactions, the longest in {longest:.1f} and {other:.1f} s; {read} readings")
    verdict = audit.examine()
    assert (verdict.broken, verdict.rows) == (None, one + two), "no acknowledged row is missing"
    storage.close()
