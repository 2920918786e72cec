"""What a restore would change, and whether it would take something back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import func, not_, or_, select

from argos.backup import archive
from argos.clock import Clock
from argos.edge.plan import State
from argos.edge.revisions import active_id, read_state
from argos.errors import Refused
from argos.settings import Settings
from argos.storage import tables
from argos.storage.engine import Storage

# Rows of the record that change nothing which a backup holds and a restore would take back.
_NO_CHANGES = ("backup.", "session.", "audit.", "mail.test", "key.sheet", "key.rotate", "second_factor.prove")


class Difference(msgspec.Struct, frozen=True):
    """What a restore would change, in numbers and names.

    ``changes_since`` counts the changes on record since the backup; None where the backup is not
    of this guest's past, or that cannot be told.
    """

    made_at: int
    version: str
    revision: int | None
    revision_now: int | None
    changes_since: int | None
    resources: dict[str, list[str]]
    people: dict[str, list[str]]
    secrets: dict[str, list[str]]
    caddy_files: int


class _Facts(msgspec.Struct):
    revision: int | None = None
    resources: dict[str, Any] = {}
    people: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


def difference(
    settings: Settings,
    restored: Storage,
    header: archive.Header,
    clock: Clock,
    *,
    caddy_files: int,
    kept: Collection[str],
) -> Difference:
    """Compare a database that was unpacked with the living one.

    Args:
        settings: of this guest.
        restored: the unpacked one, before anything is written to it.
        header: of its archive.
        clock: for the living one.
        caddy_files: how many the archive holds.
        kept: named secrets whose values of today stay.
    """
    then, now = _facts(restored, kept), _Facts()
    since = None
    if settings.database.exists():
        living = Storage(settings.database, clock)
        try:
            now = _facts(living, kept)
            since = _changes_since(restored, living, kept)
        except Exception:  # whatever is wrong with it, which may be why there is a restore: it is about to be replaced
            now, since = _Facts(), None
        finally:
            living.close()
    return Difference(
        made_at=header.created_at,
        version=header.version,
        revision=then.revision,
        revision_now=now.revision,
        changes_since=since,
        resources=_compared(now.resources, then.resources),
        people=_compared(now.people, then.people),
        secrets=_compared(now.secrets, then.secrets),
        caddy_files=caddy_files,
    )


def refuse_older(found: Difference) -> None:
    """Refuse to take back what was changed since the backup.

    Raises:
        Refused: something was.
    """
    now, then = found.revision_now, found.revision or 0
    if now is not None and then < now:
        raise Refused(
            f"The backup holds revision {then} and this guest runs revision {now}: a restore takes back what was "
            "applied since. See --dry-run, then give --force"
        )
    if found.changes_since:
        raise Refused(
            f"Since the backup {found.changes_since} changes were recorded on this guest, to people or secrets for "
            "example: a restore takes them back. See --dry-run and `argos audit list`, then give --force"
        )


def _facts(storage: Storage, kept: Collection[str]) -> _Facts:
    with storage.read() as connection:
        state: State = read_state(connection)
        users = tables.users.c
        people = connection.execute(select(users.username, users.role, users.disabled, users.groups)).all()
        named = connection.execute(select(tables.named_secrets.c.name, tables.named_secrets.c.updated_at)).all()
        return _Facts(
            active_id(connection),
            {f"{kind}/{name}": stored for (kind, name), stored in state.resources.items()},
            {row.username: tuple(row) for row in people},
            {row.name: row.updated_at for row in named if row.name not in kept},
        )


def _changes_since(restored: Storage, living: Storage, kept: Collection[str]) -> int | None:
    """Changes on the living record behind the end of the restored one; None where the one does not continue the other.

    A guest that was made anew has a record of its own, and what it has in common with a backup of before
    is nothing: there the revision alone decides.
    """
    audit = tables.audit.c
    with restored.read() as connection:
        end = connection.execute(select(audit.id, audit.hash).order_by(audit.id.desc()).limit(1)).first()
    if end is None:
        return None
    with living.read() as connection:
        if connection.scalar(select(audit.hash).where(audit.id == end.id)) != end.hash:
            return None
        idle = or_(
            *(audit.action.startswith(prefix, autoescape=True) for prefix in _NO_CHANGES),
            audit.target.in_([f"secret/{name}" for name in kept]),
        )
        return connection.scalar(select(func.count()).where(audit.id > end.id, not_(idle)))


def _compared(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        "comes back": sorted(then.keys() - now.keys()),
        "goes away": sorted(now.keys() - then.keys()),
        "changes": sorted(name for name in now.keys() & then.keys() if now[name] != then[name]),
    }
