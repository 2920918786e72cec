"""What the doctor says of backups."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from argos.doctor.backups import check_backups
from argos.storage.engine import Storage

NOW = int(time.time())


@pytest.mark.parametrize(
    ("runs", "state", "said"),
    [
        ([], "ok", "No backup was due"),
        ([(NOW - 3600, "ok", "")], "ok", "1 hours old"),
        ([(NOW - 90_000 * 4, "ok", "")], "warning", "4 days old"),
        ([(NOW - 3600, "ok", ""), (NOW, "failed", "no room")], "warning", "no room"),
    ],
)
def test_the_doctor_tells_a_missing_a_failed_and_a_late_one(
    storage: Storage, database: Path, runs: list[tuple[int, str, str]], state: str, said: str
) -> None:
    with storage.write() as connection:
        for row in runs:
            connection.exec_driver_sql("INSERT INTO backup_runs (at, state, reason) VALUES (?, ?, ?)", row)
    found = check_backups(database)
    assert found.state == state
    assert said in found.message
