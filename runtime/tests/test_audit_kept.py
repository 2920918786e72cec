"""What is beside the chain: retention, the checkpoint, the mask, the copy in the journal (DAT-3)."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from argos.audit import HEAD, Actor, Audit
from argos.audit.journal import LINE, JournalCopy, line_of
from argos.audit.mask import masked
from argos.audit.record import BASE
from argos.audit.retention import Retention
from argos.audit.search import Entry, Query, Search
from argos.clock import FixedClock
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import audit as table
from argos.storage.tables import meta
from argos.vault import Vault
from sqlalchemy import delete, func, select, update

from .conftest import MASTER_KEY

pytestmark = pytest.mark.threat("DAT-3")
DAY = 86_400


def fill(storage: Storage, audit: Audit, rows: int, action: str = "host.update") -> None:
    with storage.write() as connection:
        for number in range(rows):
            audit.record(connection, Actor("cli", "root"), action, f"host/{number}", {"n": number}, {"n": number + 1})


def ids(storage: Storage) -> tuple[int, int]:
    with storage.read() as connection:
        return tuple(connection.execute(select(func.min(table.c.id), func.max(table.c.id))).one())


def pruned(storage: Storage) -> list[tuple[int, int]]:
    """Of each removal, how many rows went and which was the last."""
    with storage.read() as connection:
        texts = connection.scalars(select(table.c.after).where(table.c.action == "audit.prune").order_by(table.c.id))
        return [(row["rows"], row["to"]) for row in map(json.loads, texts)]


def test_retention_by_number_keeps_the_rest_verifiable(storage: Storage, audit: Audit, clock: FixedClock) -> None:
    fill(storage, audit, 2500)
    retention = Retention(storage, audit, days=0, rows=1000)
    assert retention.sweep(clock.now()) == 1511
    assert ids(storage) == (1512, 2502)  # and the two rows that say so, one for each transaction
    assert pruned(storage) == [(1000, 1000), (511, 1511)]
    verdict = audit.examine()
    assert (verdict.broken, verdict.first, verdict.rows) == (None, 1512, 991)
    fill(storage, audit, 9)
    assert retention.sweep(clock.now()) == 0, "1000 are allowed"
    fill(storage, audit, 1)
    assert retention.sweep(clock.now()) == 11
    assert audit.verify() is None
    assert pruned(storage)[2:] == [(11, 1522)]
    with storage.read() as connection:
        row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).one()
    assert (row.actor, row.action) == ("system:retention", "audit.prune")


@pytest.mark.parametrize("rows", [2, 50, 1000])
def test_the_record_of_an_idle_edge_is_not_eaten_by_its_sweeps(
    storage: Storage, audit: Audit, clock: FixedClock, rows: int
) -> None:
    fill(storage, audit, rows + 10)
    retention = Retention(storage, audit, days=730, rows=rows)
    assert retention.sweep(clock.now()) > 0
    kept = ids(storage)
    for _unused in range(60):
        clock.advance(300)
        assert retention.sweep(clock.now()) == 0
    assert ids(storage) == kept
    assert kept[1] - kept[0] < rows, "the row of the removal included"
    assert len(pruned(storage)) == 1
    assert audit.verify() is None


def test_rows_that_age_one_after_the_other_go_a_day_at_a_time(
    storage: Storage, audit: Audit, clock: FixedClock
) -> None:
    for _unused in range(4 * 24):
        fill(storage, audit, 1)
        clock.advance(3600)
    clock.advance(3 * DAY)
    retention = Retention(storage, audit, days=5, rows=1000)
    for _unused in range(3 * 24):
        retention.sweep(clock.now())
        with storage.read() as connection:
            oldest = connection.scalar(select(func.min(table.c.at)))
        assert oldest >= clock.now() - 6 * DAY
        clock.advance(3600)
    assert 3 <= len(pruned(storage)) <= 5
    assert audit.verify() is None


def test_a_removal_that_a_damaged_row_ends_is_on_record_all_the_same(
    storage: Storage, audit: Audit, clock: FixedClock
) -> None:
    fill(storage, audit, 2500)
    with storage.write() as connection:
        connection.execute(update(table).where(table.c.id == 1500).values(target="host/x"))
    assert Retention(storage, audit, days=0, rows=1000).sweep(clock.now()) == 1000
    assert pruned(storage) == [(1000, 1000)]
    assert audit.verify() == 1500


def test_retention_by_age_takes_what_has_nothing_younger_before_it(
    storage: Storage, audit: Audit, clock: FixedClock
) -> None:
    fill(storage, audit, 3)
    clock.advance(10 * DAY)
    fill(storage, audit, 2)
    clock.advance(-9 * DAY)  # the clock was set back: these look old
    fill(storage, audit, 2)
    clock.advance(12 * DAY)
    assert Retention(storage, audit, days=5, rows=1000).sweep(clock.now()) == 3
    assert ids(storage)[0] == 4
    assert audit.verify() is None
    clock.advance(100 * DAY)
    assert Retention(storage, audit, days=5, rows=1000).sweep(clock.now()) == 4
    assert audit.verify() is None
    assert Retention(storage, audit, days=0, rows=1000).sweep(clock.now()) == 0


def test_nothing_is_left_and_the_chain_goes_on(storage: Storage, audit: Audit) -> None:
    fill(storage, audit, 3)
    with storage.write() as connection:
        assert audit.prune(connection, 3) == 3
    assert audit.verify() is None
    fill(storage, audit, 1)
    assert ids(storage) == (4, 4)
    assert audit.verify() is None


def test_a_damaged_row_is_not_pruned_away(storage: Storage, audit: Audit, clock: FixedClock) -> None:
    fill(storage, audit, 20)
    with storage.write() as connection:
        connection.execute(update(table).where(table.c.id == 3).values(target="host/x"))
    assert Retention(storage, audit, days=0, rows=5).sweep(clock.now()) == 0
    assert audit.verify() == 3


@pytest.mark.parametrize("value", [None, "9:{zero}:1:{zero}", "nonsense", "", "5:é:1:é"])
def test_a_base_that_was_forged_or_taken_away_shows(storage: Storage, audit: Audit, value: str | None) -> None:
    fill(storage, audit, 10)
    with storage.write() as connection:
        audit.prune(connection, 5)
    mark = meta.c.key == BASE
    with storage.write() as connection:
        forged = None if value is None else value.replace("{zero}", "0" * 64)
        connection.execute(
            delete(meta).where(mark) if forged is None else update(meta).where(mark).values(value=forged)
        )
    assert audit.verify() == 1


def test_an_older_base_put_back_shows(storage: Storage, audit: Audit) -> None:
    fill(storage, audit, 10)
    with storage.write() as connection:
        audit.prune(connection, 2)
        old = connection.scalar(select(meta.c.value).where(meta.c.key == BASE))
        audit.prune(connection, 5)
        connection.execute(update(meta).where(meta.c.key == BASE).values(value=old))
    assert audit.verify() == 3


def test_a_database_set_back_whole_shows_by_the_checkpoint(
    storage: Storage, audit: Audit, database: Path, tmp_path: Path
) -> None:
    fill(storage, audit, 5)
    assert audit.examine().note == "the checkpoint next to the database is missing"
    with storage.write() as connection:
        connection.execute(select(1))
    storage.forget_overwritten()
    shutil.copyfile(database, tmp_path / "old.db")
    fill(storage, audit, 2)
    assert audit.checkpoint() is True
    assert audit.checkpoint() is False
    assert audit.examine().note == ""
    assert audit.verify() is None
    storage.close()
    for name in ("argos.db-wal", "argos.db-shm"):
        database.with_name(name).unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "old.db", database)
    again = Storage(database, FixedClock())
    back = Audit(again, Vault(again, MASTER_KEY), Scrubber())
    assert back.examine().broken == 6
    assert "is an older copy" in back.examine().reason
    assert back.checkpoint() is False, "the proof is not written over"
    fill(again, back, 4, "host.delete")  # other rows take the numbers of the lost ones
    assert back.verify() == 7
    assert back.checkpoint() is False
    again.close()


@pytest.mark.parametrize("left", [None, "", "nonsense"])
def test_a_checkpoint_that_was_taken_away_is_missed_and_not_made_up_again(
    storage: Storage, audit: Audit, database: Path, tmp_path: Path, left: str | None
) -> None:
    fill(storage, audit, 5)
    assert audit.checkpoint() is True
    storage.forget_overwritten()
    shutil.copyfile(database, tmp_path / "old.db")
    fill(storage, audit, 2)
    assert audit.checkpoint() is True
    assert audit.examine().sound is True
    storage.close()
    for name in ("argos.db-wal", "argos.db-shm"):
        database.with_name(name).unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "old.db", database)
    if left is None:
        database.with_name("audit.checkpoint").unlink()
    else:
        database.with_name("audit.checkpoint").write_text(left)
    again = Storage(database, FixedClock())
    back = Audit(again, Vault(again, MASTER_KEY), Scrubber())
    for _unused in range(2):
        assert back.checkpoint() is False, "that would hide it"
        fill(again, back, 1)
        verdict = back.examine()
        assert (verdict.broken, verdict.sound, verdict.lost) == (None, False, True)
        assert "kept since row 5, " + ("is missing" if left is None else "does not match") in verdict.reason
    back.renew_checkpoint(Actor("cli", "carol"))
    assert back.examine().sound is True
    assert back.checkpoint() is False, "it is of this very row"
    with again.read() as connection:
        row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).one()
    assert (row.actor, row.action, json.loads(row.before)) == (
        "cli:carol",
        "audit.checkpoint",
        {"state": "lost", "id": 5},
    )
    again.close()


def test_that_a_checkpoint_was_written_cannot_be_taken_back_by_hand(
    storage: Storage, audit: Audit, database: Path
) -> None:
    fill(storage, audit, 5)
    audit.checkpoint()
    database.with_name("audit.checkpoint").unlink()
    with storage.write() as connection:
        number, digest, version, witnessed, mac = connection.scalar(
            select(meta.c.value).where(meta.c.key == HEAD)
        ).split(":")
    assert witnessed == "5"
    for forged in (f"{number}:{digest}:{version}:0:{mac}", f"{number}:{digest}:{version}:{mac}"):
        with storage.write() as connection:
            connection.execute(update(meta).where(meta.c.key == HEAD).values(value=forged))
        assert audit.verify() == 6


def test_marks_of_the_first_databases_hold(storage: Storage, audit: Audit, vault: Vault) -> None:
    fill(storage, audit, 5)
    _unused, key = vault.key("audit")
    with storage.write() as connection:
        audit.prune(connection, 2)
        for name, label in ((HEAD, b"argos audit head\0"), (BASE, b"argos audit base\0")):
            number, digest, *_rest = connection.scalar(select(meta.c.value).where(meta.c.key == name)).split(":")
            mac = hmac.new(key, label + number.encode() + b"\0" + bytes.fromhex(digest), "sha256").hexdigest()
            connection.execute(update(meta).where(meta.c.key == name).values(value=f"{number}:{digest}:1:{mac}"))
    assert audit.examine().sound is True
    fill(storage, audit, 1)
    assert audit.checkpoint() is True
    assert (audit.examine().sound, audit.examine().rows) == (True, 4)


def test_a_checkpoint_written_by_one_who_was_killed_before_noting_it_is_noted_next(
    storage: Storage, audit: Audit, database: Path
) -> None:
    fill(storage, audit, 5)
    with storage.read() as connection:
        before = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
    audit.checkpoint()
    with storage.write() as connection:
        connection.execute(update(meta).where(meta.c.key == HEAD).values(value=before))
    assert audit.examine().sound is True
    assert audit.checkpoint() is True
    database.with_name("audit.checkpoint").unlink()
    assert audit.examine().lost is True


def test_a_checkpoint_of_a_row_that_was_pruned_holds(storage: Storage, audit: Audit) -> None:
    fill(storage, audit, 5)
    audit.checkpoint()
    fill(storage, audit, 5)
    with storage.write() as connection:
        audit.prune(connection, 8)
    assert audit.verify() is None
    assert audit.checkpoint() is True


@pytest.mark.parametrize("text", ["", "nonsense", "5:00:1:00", "99:" + "0" * 64 + ":1:" + "0" * 64, "é" * 2000])
def test_a_checkpoint_that_is_not_ours_is_noted_and_replaced(
    storage: Storage, audit: Audit, database: Path, text: str
) -> None:
    fill(storage, audit, 5)
    database.with_name("audit.checkpoint").write_text(text)
    assert audit.examine().note == "the checkpoint next to the database does not match"
    assert audit.verify() is None
    assert audit.checkpoint() is True
    assert audit.examine().note == ""


def test_only_named_fields_stand_in_clear() -> None:
    key = bytes(32)
    spec: dict[str, Any] = {
        "name": "photos.home.example",
        "upstreams": [{"url": "http://10.0.0.5:2342", "weight": 1}],
        "auth": {"required": True, "groups": ["family"]},
        "request_headers": {"set": {"X-Api-Key": "planted", "name": "planted", "secret": "planted"}, "remove": ["Via"]},
        "response_headers": {"set": {"X-Named": {"secret": "api-key"}}},
        "password": "planted",
        "unheard_of": ["planted", {"deeper": "planted"}],
        "client_secret": {"secret": "oidc-client"},
        "nothing": None,
    }
    shown = masked(key, spec)
    assert "planted" not in json.dumps(shown)
    for name in ("name", "upstreams", "auth", "client_secret", "nothing"):
        assert shown[name] == spec[name]
    assert shown["request_headers"]["remove"] == ["Via"]
    assert shown["response_headers"]["set"] == {"X-Named": {"secret": "api-key"}}
    assert shown["password"].startswith("[masked ")
    other = masked(key, {**spec, "password": "planteD"})
    assert other["password"] != shown["password"], "that it changed shows"
    assert masked(key, spec) == shown
    assert masked(bytes(31) + b"\1", spec)["password"] != shown["password"], "who lacks the key cannot guess"


def test_an_exempt_address_is_shown_where_it_is_declared_and_a_value_elsewhere_is_not() -> None:
    exempt = [{"value": "203.0.113.0/24", "reason": "the office"}]
    spec: dict[str, Any] = {
        "whitelist": exempt,
        "value": "planted",
        "settings": {"value": "planted", "deeper": exempt, "name": [{"value": "planted"}]},
        "request_headers": {"set": {"whitelist": {"value": "planted"}}},
        "raw_handlers": [{"whitelist": [{"value": "planted"}]}],
    }
    shown = masked(bytes(32), spec)
    assert shown["whitelist"] == exempt
    assert "planted" not in json.dumps(shown)
    assert masked(bytes(32), {"whitelist": [{"value": "203.0.113.7", "token": "planted"}]})["whitelist"] == [
        {"value": "203.0.113.7", "token": shown["value"]}
    ]


def test_the_copy_in_the_journal_holds_each_row_once_and_goes_on_after_a_restart(
    storage: Storage, audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "argos.audit")
    fill(storage, audit, 3)
    assert JournalCopy(storage).copy() == 0, "what was there before it was switched on"
    fill(storage, audit, 1500)
    assert [JournalCopy(storage).copy() for _unused in range(3)] == [1000, 500, 0]
    lines = [json.loads(record.message) for record in caplog.records]
    assert [line["id"] for line in lines] == list(range(4, 1504))
    assert lines[0]["actor"] == {"kind": "cli", "name": "root", "claim": True}


@pytest.mark.parametrize(
    ("before", "after", "shortened"),
    [
        ({"reason": "x" * 7000}, {"reason": "y"}, set()),
        ({"reason": "x" * 9000}, {"reason": "y" * 3000}, {"before"}),
        ({"reason": "x"}, {"reason": "é" * 2000}, {"after"}),
        ({"reason": "x" * 200_000}, {"reason": "y" * 9000}, {"before", "after"}),
        (None, {"reason": "y" * 9000}, {"after"}),
    ],
)
def test_a_row_that_is_too_long_for_the_journal_is_shortened_and_stays_an_object(
    storage: Storage, audit: Audit, before: dict[str, Any] | None, after: dict[str, Any], shortened: set[str]
) -> None:
    with storage.write() as connection:
        audit.record(connection, Actor("cli", "root"), "config.apply", "host/a", before, after)
        stored = connection.execute(select(table)).one()
    [entry] = Search(storage).all(Query())
    line = line_of(entry)
    assert len(line) <= LINE
    told = json.loads(line)
    assert told.pop("shortened", False) is bool(shortened)
    for name in shortened:
        text = getattr(stored, name)
        assert told[name] == {"too_long": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    for name in {"before", "after"} - shortened:
        assert told[name] == getattr(entry, name)
    assert (told["id"], told["action"], told["target"]) == (entry.id, "config.apply", "host/a")


def test_the_longest_row_of_all_fits_into_a_line() -> None:
    longest = "\U0001f600" * 1024
    entry = Entry(2**62, 0, "cli", longest, True, longest, longest, longest, {"a": longest}, {"a": longest})
    line = line_of(entry)
    assert len(line) <= LINE
    told = json.loads(line)
    assert told["shortened"] is True
    assert all(longest.startswith(told[name].removesuffix("…")) for name in ("address", "action", "target"))


def test_the_copy_in_the_journal_does_not_depend_on_the_level_of_the_log(
    storage: Storage, audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("argos.audit").setLevel(logging.NOTSET)
    caplog.set_level(logging.ERROR)
    caplog.handler.setLevel(logging.NOTSET)
    copy = JournalCopy(storage)
    copy.copy()
    fill(storage, audit, 1)
    assert copy.copy() == 1
    assert len(caplog.records) == 1
