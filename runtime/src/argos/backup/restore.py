"""The way back: verify everything, stage it beside the living data, and only then change places (DAT-6).

Which process does what: the command begins as root and opens the file; a child that became
``argos`` reads it, since what an archive holds is a stranger's word until its last chunk has
been authenticated; another, ``argos-caddy``'s, takes Caddy's files. Root only forks, waits,
and stops and starts services. The database that is staged is opened here with a storage and a
vault of its own: the services of :mod:`argos.application` are those of the living one.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import delete

from argos import durable_files
from argos.audit import Actor, Audit
from argos.backup import archive, caddy_storage, changeover, swapping, todays_credentials
from argos.backup.difference import Difference, difference, refuse_older
from argos.backup.journal import note_staged
from argos.backup.service import RESERVE, check_database
from argos.clock import Clock
from argos.errors import Refused, Unavailable
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage import tables
from argos.storage.engine import TURN, Storage, schema_version
from argos.storage.upgrade import REVISIONS
from argos.vault import Vault, WrongMasterKey, key_id, unwrap_data_key


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
    changeover.clear(settings)
    staging.mkdir(mode=0o2750)
    try:
        database = staging / archive.DATABASE
        _unpack(opened, database, taker)
        check_database(database)
        storage = Storage(database, clock)
        try:
            _check_schema(storage, opened.header)
            storage.migrate()
            Vault(storage, opened.master_key).rewrap(master)
            today = todays_credentials.todays(settings, clock)
            found = difference(
                settings, storage, opened.header, clock, caddy_files=len(manifest.files) - 1, kept=today
            )  # fmt: skip
            if not force and not dry_run:
                refuse_older(found)
            _begin_anew(storage, master, actor, found, said)
            todays_credentials.keep(storage, master, actor, today)
        finally:
            storage.close()
        _settle(database)
        if taker is not None:
            caddy_storage.staged(taker)
            note_staged(settings, clock, _top(manifest))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if dry_run:
        changeover.clear(settings)
    return found


def _top(manifest: archive.Manifest) -> set[str]:
    """The entries at the top of Caddy's storage."""
    return {entry.name.removeprefix(archive.CADDY).split("/")[0] for entry in manifest.files[1:]}


def _unpack(opened: Opened, database: Path, taker: caddy_storage.Child | None) -> None:
    for entry, content in opened.reader().files():
        if entry.name == archive.DATABASE:
            descriptor = os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                for piece in content:
                    target.write(piece)
            continue
        if taker is None:
            for _piece in content:
                pass
        else:
            caddy_storage.stage(taker, entry.name.removeprefix(archive.CADDY), entry.size, content)


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
