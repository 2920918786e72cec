"""DAT-4: whatever is kept has a bound, is counted, and is swept."""

from __future__ import annotations

import pytest
from argos import bounds
from argos.accounts import records
from argos.clock import FixedClock
from argos.errors import Conflict
from argos.kept import Kept, Sweeper
from argos.storage.tables import metadata

from .panel.conftest import application

__all__ = ["application"]  # the fixture

pytestmark = pytest.mark.threat("DAT-4")


def test_every_table_has_a_bound_and_is_counted(application) -> None:
    report = {view.name: view for view in application.sweeper.report()}
    tables = {name for name, view in report.items() if view.kind == "table"}
    assert tables == set(metadata.tables), "a new table gets a bound in argos/bounds.py"
    assert all(0 <= view.rows <= view.bound for view in report.values())
    assert report["users"].rows == 3
    assert report["sign-ins begun, by address"].kind == "map"


def test_a_sweep_takes_what_is_dead_and_says_when(application) -> None:
    clock = application.clock
    application.oidc.starts.count("203.0.113.7")
    for name in ("alice", "newcomer"):
        application.sessions.begin(records.Actor("user", name), application.accounts.get(name).id, "203.0.113.7")
    clock.advance(400 * 86_400)
    application.sweep()
    report = {view.name: view for view in application.sweeper.report()}
    assert (report["sessions"].rows, report["sessions"].swept_at) == (0, clock.now())
    assert report["users"].swept_at is None
    assert report["sign-ins begun, by address"].rows == 1
    assert application.settings.database.with_name("audit.checkpoint").exists()


def test_bans_over_and_over_the_bound_are_forgotten(application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_BANS", 5)
    now = application.clock.now()
    with application.storage.write() as connection:
        for number in range(10):
            row = (f"203.0.113.{number}", number, 60, "by hand", now - 2 + number)
            connection.exec_driver_sql(
                "INSERT INTO bans (value, decision_id, seconds, reason, until) VALUES (?, ?, ?, ?, ?)", row
            )
    application.sweep()
    with application.storage.read() as connection:
        left = [row[0] for row in connection.exec_driver_sql("SELECT value FROM bans ORDER BY until")]
    assert left == [f"203.0.113.{number}" for number in range(5, 10)]


def test_one_sweep_that_fails_holds_up_no_other(clock: FixedClock) -> None:
    swept: list[str] = []

    def fail(_now: int) -> None:
        raise OSError("no space")

    kept = [
        Kept("a", 1, lambda: 0, fail),
        Kept("b", 1, lambda: 0, lambda _now: swept.append("b")),
        Kept("c", 1, lambda: 0),
    ]
    sweeper = Sweeper(clock, kept)
    with pytest.raises(OSError, match="no space"):
        sweeper.sweep()
    assert swept == ["b"]
    assert [view.swept_at for view in sweeper.report()] == [None, clock.now(), None]


def test_there_is_a_most_of_people(application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_PEOPLE", 4)
    actor = records.Actor("cli", "root")
    application.accounts.create(actor, "fourth", "member")
    with pytest.raises(Conflict, match="4 accounts already"):
        application.accounts.create(actor, "fifth", "member")
