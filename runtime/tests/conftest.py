"""The runtime's real services over a real database file, with a clock that a test moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.accounts import Accounts, Passwords, Throttle
from argos.accounts.people import People
from argos.accounts.records import Records
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.epoch import EpochReader, EpochWriter
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.sessions import Sessions
from argos.storage.engine import Storage
from argos.vault import Vault
from hypothesis import settings

MASTER_KEY = bytes(range(32))

# A busy machine makes an example slow, not wrong.
settings.register_profile("argos", deadline=None)
settings.load_profile("argos")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def actor() -> Actor:
    return Actor(kind="cli", name="root")


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema and nothing in it, to be copied: running the migrations takes a while."""
    path = tmp_path_factory.mktemp("migrated") / "argos.db"
    storage = Storage(path, FixedClock())
    storage.migrate()
    storage.close()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "argos.db"


@pytest.fixture
def storage(database: Path, migrated_database: Path, clock: FixedClock) -> Iterator[Storage]:
    shutil.copyfile(migrated_database, database)
    storage = Storage(database, clock)
    storage.migrate()
    yield storage
    storage.close()


@pytest.fixture
def vault(storage: Storage) -> Vault:
    return Vault(storage, MASTER_KEY)


@pytest.fixture
def scrubber() -> Scrubber:
    return Scrubber()


@pytest.fixture
def audit(storage: Storage, vault: Vault, scrubber: Scrubber) -> Audit:
    return Audit(storage, vault, scrubber)


@pytest.fixture
def named_secrets(storage: Storage, vault: Vault, audit: Audit, scrubber: Scrubber) -> NamedSecrets:
    return NamedSecrets(storage, vault, audit, scrubber)


@pytest.fixture
def epoch_file(tmp_path: Path) -> Path:
    return tmp_path / "epoch"


@pytest.fixture
def epoch(epoch_file: Path) -> Iterator[EpochWriter]:
    writer = EpochWriter(epoch_file)
    writer.advance()
    writer.beat()
    yield writer
    writer.close()


@pytest.fixture
def epoch_reader(epoch: EpochWriter, epoch_file: Path) -> Iterator[EpochReader]:
    reader = EpochReader(epoch_file)
    yield reader
    reader.close()


@pytest.fixture
def sessions(storage: Storage, audit: Audit, epoch: EpochWriter) -> Sessions:
    return Sessions(storage, audit, epoch)


@pytest.fixture
def passwords(vault: Vault) -> Passwords:
    """Cost 4, bcrypt's least, since most tests are not about its cost; test_passwords.py is."""
    return Passwords(vault, cost=4)


@pytest.fixture
def throttle(clock: FixedClock) -> Throttle:
    return Throttle(clock)


@pytest.fixture
def records(
    storage: Storage, audit: Audit, sessions: Sessions, epoch: EpochWriter, passwords: Passwords, throttle: Throttle
) -> Records:
    return Records(storage, audit, sessions, epoch, passwords, throttle)


@pytest.fixture
def accounts(records: Records) -> Accounts:
    return Accounts(records)


@pytest.fixture
def people(records: Records) -> People:
    return People(records)
