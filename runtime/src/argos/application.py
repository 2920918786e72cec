"""The composition root: settings in, wired services out. Nothing else constructs services."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from argos.accounts.links import PasswordLinks
from argos.accounts.passwords import COST, Passwords
from argos.accounts.people import People
from argos.accounts.records import Records
from argos.accounts.second_factor import SecondFactors
from argos.accounts.service import Accounts
from argos.accounts.throttle import Throttle
from argos.audit import Audit
from argos.audit.retention import Retention
from argos.audit.search import Search
from argos.clock import Clock, SystemClock
from argos.doctor.finding import Finding
from argos.edge.model import EdgeSettings
from argos.edge.plan import State
from argos.edge.revisions import read_state
from argos.epoch import EpochWriter
from argos.errors import Unavailable
from argos.named_secrets import NamedSecrets
from argos.notify.outbox import Outbox
from argos.scrub import Scrubber
from argos.sessions.store import Sessions
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.storage.tables import resources
from argos.vault import Vault

if TYPE_CHECKING:
    from argos.backup.service import Backups
    from argos.edge.apply import ApplyEngine
    from argos.edge.certificate_status import CertificateStatus
    from argos.edge.history import History
    from argos.edge.secret_use import DeclaredSecrets
    from argos.kept import Sweeper
    from argos.key_rotation import KeyRotation
    from argos.notify.message import Edge
    from argos.notify.service import Mail
    from argos.oidc.service import Oidc
    from argos.threat.lapi import Lapi
    from argos.threat.service import Decisions


logger = logging.getLogger(__name__)

# Fewer than the panel has threads: a flood of sign-ins is told to wait, and everybody else is served.
SIGN_INS_WAITING = 10


@dataclass(frozen=True)
class Opened:
    """The database with the vault open, and nothing that serves."""

    storage: Storage
    vault: Vault
    scrubber: Scrubber
    audit: Audit

    @cached_property
    def secrets(self) -> NamedSecrets:
        """The named secrets, each of which it opens."""
        return NamedSecrets(self.storage, self.vault, self.audit, self.scrubber)


@contextmanager
def opened(settings: Settings, clock: Clock | None = None) -> Iterator[Opened]:
    """Open the vault for one question: neither the schema nor the epoch is touched.

    Raises:
        BadSetting: there is no master key.
        WrongMasterKey: the database is under another one.
        Unavailable: the database cannot be opened.
    """
    master_key = settings.require_master_key()
    storage = Storage(settings.database, clock or SystemClock())
    try:
        vault = Vault(storage, master_key, settings.master_key_next)
        scrubber = _scrubber(settings)
        yield Opened(storage, vault, scrubber, Audit(storage, vault, scrubber))
    finally:
        storage.close()


def _scrubber(settings: Settings) -> Scrubber:
    """One that knows the master keys already."""
    given = (settings.master_key, settings.master_key_next)
    return Scrubber(base64.b64encode(key).decode() for key in given if key is not None)


@dataclass(frozen=True)
class Application:
    """Every service of the runtime, over one database."""

    settings: Settings
    clock: Clock
    storage: Storage
    vault: Vault
    scrubber: Scrubber
    audit: Audit
    epoch: EpochWriter
    sessions: Sessions
    records: Records
    accounts: Accounts
    people: People
    links: PasswordLinks
    secrets: NamedSecrets
    second_factors: SecondFactors
    outbox: Outbox

    @classmethod
    def from_settings(cls, settings: Settings, *, clock: Clock | None = None, password_cost: int = COST) -> Application:
        """Open the database, bringing its schema up to date, and wire everything over it.

        Args:
            settings: with a master key.
            clock: the machine's unless a test brings its own.
            password_cost: bcrypt's; tests of other things lower it.

        Raises:
            BadSetting: there is no master key.
            WrongMasterKey: the database is under another one.
            Unavailable: the database cannot be opened.
        """
        master_key = settings.require_master_key()
        clock = clock or SystemClock()
        storage = Storage(settings.database, clock)
        storage.migrate()
        vault = Vault(storage, master_key, settings.master_key_next)
        scrubber = _scrubber(settings)
        audit = Audit(storage, vault, scrubber)
        epoch = EpochWriter(settings.epoch_file)
        sessions = Sessions(storage, audit, epoch)
        outbox = Outbox(clock, scrubber)
        throttle = Throttle(clock, tell=outbox.locked_out)
        passwords = Passwords(vault, cost=password_cost, queue=SIGN_INS_WAITING)
        records = Records(storage, audit, sessions, epoch, passwords, throttle)
        return cls(
            settings=settings,
            clock=clock,
            storage=storage,
            vault=vault,
            scrubber=scrubber,
            audit=audit,
            epoch=epoch,
            sessions=sessions,
            records=records,
            accounts=Accounts(records),
            people=People(records),
            links=PasswordLinks(records),
            secrets=NamedSecrets(storage, vault, audit, scrubber),
            second_factors=SecondFactors(records, vault),
            outbox=outbox,
        )

    @cached_property
    def engine(self) -> ApplyEngine:
        """Plans and applies declarations; imported late, as a command that only changes an account needs none of it."""
        from argos.edge.apply import ApplyEngine

        return ApplyEngine(self.settings, self.storage, self.vault, self.secrets, self.audit, self.epoch, self.scrubber)

    @cached_property
    def declared_secrets(self) -> DeclaredSecrets:
        """Named secrets as an operator has them; imported late, like the engine."""
        from argos.edge.secret_use import DeclaredSecrets

        return DeclaredSecrets(self.engine, self.secrets)

    @cached_property
    def rotation(self) -> KeyRotation:
        """Rotation of the master key; imported late, as only its command needs it."""
        from argos.key_rotation import KeyRotation

        return KeyRotation(self.storage, self.vault, self.audit)

    @cached_property
    def history(self) -> History:
        """The revisions, for reading."""
        from argos.edge.history import History

        return History(self.storage, self.scrubber)

    @cached_property
    def oidc(self) -> Oidc:
        """Signing in with a provider; imported late, and what verifies tokens later still."""
        from argos.oidc.service import Oidc

        return Oidc(self.records, self.vault, self.secrets, self.scrubber)

    @cached_property
    def backups(self) -> Backups:
        """Backups; imported late, as the serving process only lists them."""
        from argos.backup.service import Backups

        settings = self.settings
        return Backups(
            self.storage,
            self.vault,
            self.audit,
            directory=settings.backup_dir,
            request=settings.backup_request,
            keep_days=settings.backup_keep_days,
            outbox=self.outbox,
        )

    @cached_property
    def mail(self) -> Mail:
        """What mails notices; imported late, as most commands send none."""
        from argos.notify.service import Mail

        return Mail(self.storage, self.audit, self.secrets, self.scrubber, self.outbox, self.named_edge)

    def named_edge(self) -> Edge:
        """This guest as a message names it."""
        from argos.notify.message import Edge

        edge = self.edge()
        return Edge("this guest", "") if edge is None else Edge(edge.panel_host, self.panel_url(edge.panel_host))

    def panel_url(self, panel_host: str) -> str:
        """The panel's address in this mode, without a trailing slash."""
        from argos.edge.context import RenderContext

        context = RenderContext(mode=self.settings.mode, panel_port=self.settings.panel_listen[1])
        return context.panel_url(panel_host)

    @cached_property
    def record(self) -> Search:
        """Reads the record of changes."""
        return Search(self.storage)

    @cached_property
    def retention(self) -> Retention:
        """Takes old rows of the record away."""
        days, rows = self.settings.audit_days, self.settings.audit_rows
        return Retention(self.storage, self.audit, days=days, rows=rows)

    @cached_property
    def lapi(self) -> Lapi:
        """CrowdSec's local API, where it is declared and with the credentials of that moment."""
        from argos.threat.access import lapi_of

        return lapi_of(self.settings, self.storage, self.secrets, self.scrubber)

    @cached_property
    def decisions(self) -> Decisions:
        """CrowdSec's decisions."""
        from argos.threat.service import Decisions

        return Decisions(self.storage, self.audit, self.sessions, self.lapi, self.state)

    def certificates(self) -> list[CertificateStatus]:
        """Every certificate that the edge serves or should, by name.

        Raises:
            Unavailable: Caddy does not answer.
        """
        from argos.edge.caddy import CaddyAdmin
        from argos.edge.certificate_status import certificate_statuses

        return certificate_statuses(
            self.state(),
            CaddyAdmin(self.settings.caddy_socket),
            self.scrubber,
            self.clock.now(),
            with_panel=self.settings.mode == "behind_caddy",
        )

    def state(self) -> State:
        """What is declared, as of the active revision."""
        with self.storage.read() as connection:
            return read_state(connection)

    def edge(self) -> EdgeSettings | None:
        """``settings/edge``, or None while nobody has declared it. PERF: one row, as every request asks."""
        with self.storage.read() as connection:
            spec = connection.scalar(
                select(resources.c.spec).where(resources.c.kind == "settings", resources.c.name == "edge")
            )
        return None if spec is None else msgspec.json.decode(spec, type=EdgeSettings)

    def welcome_url(self, token: str) -> str:
        """The address of a one-time set-password link; only its path while no panel host is declared."""
        return f"{self.named_edge().url}/welcome?token={token}"

    def reconcile(self) -> None:
        """Make Caddy run the active revision where it runs something else."""
        self.engine.reconcile()

    def health(self) -> list[Finding]:
        """The doctor's findings, by a process that has the vault open already."""
        from argos.doctor.examine import examine

        key = Finding("master key", "ok", f"It opens the database (id {self.vault.key_id}).")
        return [*examine(self.settings, key=key, lapi=self.lapi), *self._floods()]

    def _floods(self) -> list[Finding]:
        """What went for want of room since the start: each is bounded, and what is dropped is counted (DAT-4)."""
        counts, begun = self.accounts.counts_dropped, self.oidc.pending.dropped
        if not counts and not begun:
            return []
        message = f"Since the start {counts} counts of failed sign-ins and {begun} begun ones went for newer ones."
        return [Finding("sign-in floods", "warning", message, "Ban where they come from: 'cscli decisions add'.")]

    @cached_property
    def sweeper(self) -> Sweeper:
        """The bounds of everything that is kept; imported late, as a command has no use for most of it."""
        from argos.bounds import kept_by
        from argos.kept import Sweeper

        return Sweeper(self.clock, tuple(kept_by(self)))

    def sweep(self) -> None:
        """Drop what is dead or over its bound, and note where the record ends."""
        try:
            self.sweeper.sweep()
        finally:
            self.leave_checkpoint()

    def leave_checkpoint(self) -> None:
        """Note the record's end beside the database; a full disk leaves the one before."""
        try:
            self.audit.checkpoint()
        except (OSError, Unavailable) as error:
            logger.warning("the record's checkpoint was not written: %s", error)

    def close(self) -> None:
        """Let go of the database and the epoch file."""
        self.storage.close()
        self.epoch.close()
