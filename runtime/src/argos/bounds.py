"""The bounds of this runtime's tables and maps, in one list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select

from argos import key_rotation, named_secrets, scrub
from argos.accounts import devices, throttle
from argos.accounts.records import MOST_PEOPLE
from argos.backup.service import MOST_RUNS
from argos.edge.decode import remembered
from argos.edge.decode.mail import EVENTS
from argos.edge.model import MAX_HOSTS, MAX_RESOURCES
from argos.edge.revisions import KEPT as KEPT_REVISIONS
from argos.kept import Kept, rows_of
from argos.notify import outbox
from argos.notify import service as mail
from argos.oidc import pending, starts
from argos.sessions.store import PER_USER as SESSIONS_PER_USER
from argos.storage import tables
from argos.storage.engine import Storage
from argos.vault import PURPOSES

if TYPE_CHECKING:
    from argos.application import Application

_KINDS = 12  # of resources beside hosts, settings among them
_BANS = 50_000
_FACTS = 100  # rows of ``meta``: one for each name in the code


def _forget_bans(storage: Storage, now: int) -> None:
    """Forget bans that are over, and those over the bound that end first: LAPI goes on holding them."""
    bans = tables.bans
    # LIMIT -1 is SQLite's way to an OFFSET alone.
    over = select(bans.c.value).order_by(bans.c.until.desc()).limit(-1).offset(_BANS)
    with storage.write() as connection:
        connection.execute(delete(bans).where(or_(bans.c.until < now, bans.c.value.in_(over))))


def kept_by(application: Application) -> Iterator[Kept]:
    """Every table of the database, and every map of this process."""
    sweeps: dict[str, Callable[[int], object]] = {
        "audit": application.retention.sweep,
        "bans": partial(_forget_bans, application.storage),
        "login_failures": lambda _now: application.accounts.sweep(),
        "mails": application.mail.sweep,
        "oidc_pending": lambda _now: application.oidc.pending.sweep(),
        "password_links": lambda _now: application.links.sweep(),
        "sessions": lambda _now: application.sessions.sweep(),
        "totp": lambda _now: application.second_factors.sweep(),
    }
    bounds = {
        "audit": application.settings.audit_rows,
        "backup_runs": MOST_RUNS,
        "bans": _BANS,
        "data_keys": len(PURPOSES) * key_rotation.MOST_VERSIONS,
        "gate_hosts": MAX_HOSTS,
        "gate_settings": 1,
        "known_devices": MOST_PEOPLE * devices.PER_USER,
        "login_failures": throttle.MOST_ROWS,
        "mails": mail.MOST_MAILS,
        "meta": _FACTS,
        "named_secrets": named_secrets.MOST,
        "notices": len(EVENTS) * outbox.MOST_WAITING,
        "oidc_identities": MOST_PEOPLE,
        "oidc_pending": pending.MOST,
        "password_links": MOST_PEOPLE,
        "recovery_codes": MOST_PEOPLE,
        "resources": MAX_HOSTS + _KINDS * MAX_RESOURCES,
        "revisions": KEPT_REVISIONS + 1,
        "sessions": MOST_PEOPLE * SESSIONS_PER_USER,
        "totp": MOST_PEOPLE,
        "users": MOST_PEOPLE,
    }
    for name, bound in bounds.items():
        table = tables.metadata.tables[name]
        yield Kept(name, bound, rows_of(application.storage, table), sweeps.get(name))
    yield Kept("sign-ins begun, by address", starts.ADDRESSES, lambda: len(application.oidc.starts), kind="map")
    yield Kept("resources decoded before", remembered.MOST, lambda: len(remembered.REMEMBERED), kind="map")
    yield Kept(
        "spellings of secrets",
        scrub.MOST,
        lambda: len(application.scrubber),
        lambda _now: application.secrets.sweep(),
        kind="map",
    )
