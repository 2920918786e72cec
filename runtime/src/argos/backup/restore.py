"""The way back: verify everything, stage it beside the living data, and only then change places (DAT-6).

Which process does what: the command begins as root and opens the file; a child that became
``argos`` reads it, since what an archive holds is a stranger's word until its last chunk has
been authenticated; another, ``argos-caddy``'s, takes Caddy's files. Root only forks, waits,
and stops and starts services.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import delete, select

from argos import durable_files
from argos.audit import Actor, Audit
from argos.backup import archive, caddy_storage, swapping
from argos.backup.journal import end_journal
from argos.backup.service import RESERVE, check_database
from argos.clock import Clock
from argos.edge.plan import State
from argos.edge.revisions import active_id, read_state
from argos.errors import Refused, Unavailable
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage import tables
from argos.storage.engine import TURN, Storage, schema_version
from argos.storage.upgrade import REVISIONS
from argos.vault import Vault, WrongMasterKey, key_id, unwrap_data_key

KEPT_TREES = 2
"""So many replaced states stay; older ones go at the next restore."""


class Difference(msgspec.Struct, frozen=True):
    """What a restore would change, in numbers and names."""

    made_at: int
    version: str
    revision: int | None
    revision_now: int | None
    resources: dict[str, list[str]]
    people: dict[str, list[str]]
    secrets: dict[str, list[str]]
    caddy_files: int


class Opened:
    """An archive whose key is known: :meth:`verify` it whole, then take it from :meth:`reader`.

    Args:
        source: the file, seekable.
        keys: master keys to try: today's, and a former one.

    Raises:
        BadArchive: it is none.
        Refused: a later version of Argos made it.
        WrongMasterKey: it was made under another key.
    """

    def __init__(self, source: BinaryIO, *keys: bytes) -> None:
        self._source = source
        source.seek(0)
        self.header, self._first = archive.read_header(source)
        self._start = source.tell()
        if self.header.schema not in REVISIONS:
            raise Refused(
                f"The backup's schema is {self.header.schema[:40]!r}, and this version of Argos knows up to "
                f"{REVISIONS[-1]}; restore it with version {self.header.version} or a newer one"
            )
        found = [key for key in keys if key_id(key) == self.header.master_key_id]
        if not found:
            raise WrongMasterKey(wanted=self.header.master_key_id, given=key_id(keys[0]))
        self.master_key = found[0]
        wrapped = base64.b64decode(self.header.wrapped_key)
        self._key = unwrap_data_key(self.master_key, "backup", self.header.key_version, wrapped)

    def reader(self) -> archive.Reader:
        """Begin at the front."""
        self._source.seek(self._start)
        return archive.Reader(self._source, self.header, self._first, self._key)

    def verify(self) -> archive.Manifest:
        """Read it once through, keeping nothing.

        Raises:
            BadArchive: something is not as it must be.
        """
        reader = self.reader()
        reader.read_through()
        return reader.manifest


def stage(
    settings: Settings, source: BinaryIO, former_key: bytes | None, taker: caddy_storage.Child | None, clock: Clock, *,
    actor: Actor, force: bool, dry_run: bool, said: Mapping[str, Any],
) -> Difference:  # fmt: skip
    """Verify the archive, unpack it into the staging directories, and make its database fit for today.

    Args:
        settings: of this guest, with its master key.
        source: the archive.
        former_key: a master key of before, or None.
        taker: takes Caddy's files; None for a dry run.
        clock: for the record.
        actor: who restores.
        force: take a state that is older than the running one.
        dry_run: say the difference and leave nothing behind.
        said: what the audit row tells of the archive.

    Raises:
        ArgosError: with the reason; nothing that lives was touched, and nothing staged stays.
    """
    master = settings.require_master_key()
    opened = Opened(source, *(key for key in (master, settings.master_key_next, former_key) if key))
    manifest = opened.verify()
    _need_room(settings, manifest)
    staging = settings.data_dir / swapping.STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o2750)
    try:
        database = staging / archive.DATABASE
        count = _unpack(opened, database, taker)
        check_database(database)
        storage = Storage(database, clock)
        try:
            _check_schema(storage, opened.header)
            storage.migrate()
            Vault(storage, opened.master_key).rewrap(master)
            difference = _difference(settings, storage, opened.header, count, clock)
            if not force and not dry_run:
                _refuse_older(difference)
            _begin_anew(storage, master, actor, difference, said)
        finally:
            storage.close()
        _settle(database)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if dry_run:
        shutil.rmtree(staging)
    return difference


def swap_database(settings: Settings, stamp: str) -> None:
    """The runtime's tree; as its owner. Repeatable."""
    # The checkpoint of the record too: it would say of the restored database that it was set back.
    companions = {f"{archive.DATABASE}-wal", f"{archive.DATABASE}-shm", "audit.checkpoint"}
    old = {archive.DATABASE} | companions
    swapping.swap(settings.data_dir, settings.data_dir / f"{swapping.KEPT}{stamp}", old.__contains__)
    _drop_old(settings.data_dir)


def swap_caddy(settings: Settings, stamp: str) -> None:
    """Caddy's tree; as its owner. Repeatable."""
    storage = settings.caddy_storage
    swapping.swap(storage, storage / f"{swapping.KEPT}{stamp}", caddy_storage.belongs)
    _drop_old(storage)


def conclude(settings: Settings, clock: Clock) -> None:
    """Lay out for Caddy what the restored state asks for, and end the journal. Repeatable."""
    from argos.edge.active_config import ActiveConfig
    from argos.edge.context import context_of
    from argos.edge.render import rendered

    storage = Storage(settings.database, clock)
    try:
        with storage.read() as connection:
            state = read_state(connection)
    finally:
        storage.close()
    ActiveConfig(settings.edge_dir).keep(rendered(state, context_of(settings)))
    end_journal(settings)


def _unpack(opened: Opened, database: Path, taker: caddy_storage.Child | None) -> int:
    count = 0
    for entry, content in opened.reader().files():
        if entry.name == archive.DATABASE:
            descriptor = os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                for piece in content:
                    target.write(piece)
            continue
        count += 1
        if taker is None:
            for _piece in content:
                pass
        else:
            caddy_storage.stage(taker, entry.name.removeprefix(archive.CADDY), entry.size, content)
    return count


def _check_schema(storage: Storage, header: archive.Header) -> None:
    """SQLite takes a file of a few bytes for an empty database, and an upgrade would make a new guest of it."""
    with storage.read() as connection:
        found = schema_version(connection)
    if found != header.schema:
        raise archive.BadArchive(f"the database in it is of schema {found}, and its header says {header.schema}")


def _need_room(settings: Settings, manifest: archive.Manifest) -> None:
    caddy = sum(entry.size for entry in manifest.files[1:])
    if caddy > caddy_storage.LARGEST:
        raise Refused(
            f"Caddy's files in it are {caddy // 2**20} MiB, and at most {caddy_storage.LARGEST // 2**20} are taken"
        )
    # Twice: migrating a database writes as much again.
    for place, wanted in ((settings.data_dir, 2 * manifest.files[0].size), (settings.caddy_storage.parent, caddy)):
        free = shutil.disk_usage(place).free
        if free < wanted + RESERVE:
            raise Unavailable(
                f"{place}: the restore needs {(wanted + RESERVE) // 2**20} MiB free, and there are {free // 2**20}"
            )


def _begin_anew(storage: Storage, master: bytes, actor: Actor, difference: Difference, said: Mapping[str, Any]) -> None:
    """Nobody is signed in to what was restored, no link or pending sign-in opens it, and no old notice is mailed."""
    vault = Vault(storage, master)
    audit = Audit(storage, vault, Scrubber([base64.b64encode(master).decode()]))
    with storage.write() as connection:
        for table in (tables.sessions, tables.oidc_pending, tables.password_links, tables.notices):
            connection.execute(delete(table))
        before = {"revision": difference.revision_now}
        after = {**said, "made_at": difference.made_at, "revision": difference.revision}
        audit.record(connection, actor, "backup.restore", "backup", before, after)
        audit.forget_checkpoint(connection)
    if broken := audit.verify():
        raise Refused(f"The backup's record of changes is broken at row {broken}: it was altered before it was made")


def _settle(database: Path) -> None:
    """One file without companions, readable by the gate, on the disk."""
    import sqlite3

    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()
    for companion in ("-wal", "-shm", TURN):
        database.with_name(database.name + companion).unlink(missing_ok=True)
    database.chmod(0o640)
    descriptor = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    durable_files.sync_directory(database.parent)


def _difference(settings: Settings, storage: Storage, header: archive.Header, count: int, clock: Clock) -> Difference:
    then = _facts(storage)
    now = _living(settings, clock)
    return Difference(
        made_at=header.created_at,
        version=header.version,
        revision=then.revision,
        revision_now=now.revision,
        resources=_compared(now.resources, then.resources),
        people=_compared(now.people, then.people),
        secrets=_compared(now.secrets, then.secrets),
        caddy_files=count,
    )


class _Facts(msgspec.Struct):
    revision: int | None = None
    resources: dict[str, Any] = {}
    people: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


def _facts(storage: Storage) -> _Facts:
    with storage.read() as connection:
        state: State = read_state(connection)
        users = tables.users.c
        people = connection.execute(select(users.username, users.role, users.disabled, users.groups)).all()
        named = connection.execute(select(tables.named_secrets.c.name, tables.named_secrets.c.updated_at)).all()
        return _Facts(
            active_id(connection),
            {f"{kind}/{name}": stored for (kind, name), stored in state.resources.items()},
            {row.username: tuple(row) for row in people},
            {row.name: row.updated_at for row in named},
        )


def _living(settings: Settings, clock: Clock) -> _Facts:
    """Of what is there now; nothing when it cannot be read, which may be why there is a restore."""
    if not settings.database.exists():
        return _Facts()
    storage = Storage(settings.database, clock)
    try:
        return _facts(storage)
    except Exception:  # whatever is wrong with it: it is about to be replaced
        return _Facts()
    finally:
        storage.close()


def _compared(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        "comes back": sorted(then.keys() - now.keys()),
        "goes away": sorted(now.keys() - then.keys()),
        "changes": sorted(name for name in now.keys() & then.keys() if now[name] != then[name]),
    }


def _refuse_older(difference: Difference) -> None:
    now, then = difference.revision_now, difference.revision or 0
    if now is not None and then < now:
        raise Refused(
            f"The backup holds revision {then} and this guest runs revision {now}: a restore takes back what was "
            "applied since. See --dry-run, then give --force"
        )


def _drop_old(tree: Path) -> None:
    kept = sorted(path for path in tree.glob(f"{swapping.KEPT}*") if path.is_dir() and not path.is_symlink())
    for path in kept[:-KEPT_TREES]:
        shutil.rmtree(path, ignore_errors=True)
