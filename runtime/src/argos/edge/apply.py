"""Plan and apply declarations, and keep Caddy on the active revision.

The order of :meth:`ApplyEngine.apply` is docs/architecture.md's "Apply": no database
lock is held while Caddy works, and what Caddy refuses leaves everything as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection

from argos.audit import Actor, Audit
from argos.edge import attribution, export, own_certificates, revisions
from argos.edge import plan as planning
from argos.edge.active_config import ActiveConfig
from argos.edge.apply_lock import ApplyLock
from argos.edge.caddy import CaddyAdmin, CaddyRefused, CaddyUnreachable
from argos.edge.context import RenderContext, context_of
from argos.edge.credentials import BOUNCER_KEY, write_credentials
from argos.edge.crosscheck import crosscheck
from argos.edge.decode.kinds import KINDS
from argos.edge.lapi_address import lapi_url
from argos.edge.model import SETTINGS, Document
from argos.edge.plan import Change, Plan, State
from argos.edge.refusals import explained
from argos.edge.render import Rendered, render, rendered
from argos.edge.secret_use import header_errors
from argos.epoch import EpochWriter
from argos.errors import Invalid, Refused, Stale, Unavailable
from argos.named_secrets import NamedSecrets
from argos.oidc import break_glass
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.threat.protected import own_addresses
from argos.vault import Vault

UNSETTLED_S = 60
"""After a load that Caddy did not answer in time, so long the runtime looks each second what Caddy runs."""

_OURS = frozenset({("settings", "oidc"), ("settings", "mail")})
"""Nothing of Caddy's configuration is of these: a change of them alone asks nothing of it."""

log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """The answer to a plan or an apply.

    ``etag`` is of the state as it stands: before a planned change, after an applied one.
    """

    changed: bool
    etag: str
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    revision: int | msgspec.UnsetType | None = msgspec.UNSET


class ApplyEngine:
    """The one way a declaration comes into force; shared by admin API, panel and CLI.

    Args:
        settings: paths and mode.
        storage: the database.
        vault: unused but for its being open: a wrong master key stops an apply early.
        secrets: values that resources name.
        audit: takes one row for each changed resource.
        epoch: advanced once the gate's tables have changed.
        scrubber: takes known secrets out of Caddy's reasons.
        context: paths and ports of the rendering; by default those of ``settings``.
        caddy: the admin client; by default on ``settings.caddy_socket``.
    """

    def __init__(  # noqa: PLR0917 - services, in the order the composition root wires them
        self,
        settings: Settings,
        storage: Storage,
        vault: Vault,  # noqa: ARG002 - named in the docstring
        secrets: NamedSecrets,
        audit: Audit,
        epoch: EpochWriter,
        scrubber: Scrubber,
        *,
        context: RenderContext | None = None,
        caddy: CaddyAdmin | None = None,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._secrets = secrets
        self._audit = audit
        self._epoch = epoch
        self._scrubber = scrubber
        self._context = context or context_of(settings)
        self._caddy = caddy or CaddyAdmin(settings.caddy_socket)
        self._active = ActiveConfig(settings.edge_dir)
        self._lock = ApplyLock(settings.data_dir / "apply.lock")
        self._unsettled_until = 0.0
        self._seen_running: bytes | None = None

    def unsettled(self) -> bool:
        """Say whether Caddy may yet take a load that was given up: it reads on when nobody waits any more."""
        return time.monotonic() < self._unsettled_until

    def drifted(self) -> bool:
        """Say whether Caddy runs something else than when it was last seen to run the active revision.

        PERF: nothing is rendered or decoded, so this may be asked every few seconds; after an
        apply it is true once, and :meth:`reconcile` finds that all is well. Caddy away is no drift.
        """
        if self._seen_running is None:
            return False
        try:
            return self._caddy.fingerprint() != self._seen_running
        except CaddyUnreachable:
            return False

    def plan(self, document: Document, pending_secrets: Collection[str] = ()) -> Outcome:
        """Say what ``document`` would change.

        Args:
            document: what would be declared.
            pending_secrets: names of secrets that count as stored, because they will be by then.

        Raises:
            Invalid: the state it leads to does not fit together.
        """
        with self._storage.read() as connection:
            state = revisions.read_state(connection)
        planned = self._planned(state, document, pending_secrets)
        return Outcome(planned.changed, planned.etag, planned.changes, planned.warnings)

    def apply(self, actor: Actor, document: Document, if_match: str | None = None) -> Outcome:
        """Bring ``document`` into force.

        Raises:
            Invalid: the state it leads to does not fit together.
            Stale: ``if_match`` is not the ETag of the stored state.
            Refused: Caddy does not take it; everything is as it was.
            Unavailable: Caddy does not answer, or another apply takes too long.
        """
        # The break glass of the provider works with Caddy dead.
        for_caddy = not _is_ours_alone(document)
        return self._change(actor, lambda state: self._planned(state, document), if_match, for_caddy=for_caddy)

    def replacement(self, after: State) -> Outcome:
        """Say what :meth:`replace` would change.

        Raises:
            Invalid: ``after`` would not do today.
        """
        with self._storage.read() as connection:
            state = revisions.read_state(connection)
        planned = self._replacement(state, after)
        return Outcome(planned.changed, planned.etag, planned.changes, planned.warnings)

    def replace(self, actor: Actor, after: State, note: str, if_match: str | None = None) -> Outcome:
        """Make the whole declared state ``after``, owners included: a rollback, an import.

        ``note`` says in the history why. It is an apply like any other.

        Raises:
            Invalid: ``after`` would not do today, with every reason.
            Stale, Refused, Unavailable: as :meth:`apply`.
        """
        return self._change(actor, lambda state: self._replacement(state, after), if_match, note=note)

    def _change(
        self,
        actor: Actor,
        planned_from: Callable[[State], Plan],
        if_match: str | None,
        *,
        for_caddy: bool = True,
        note: str = "",
    ) -> Outcome:
        with self.alone():
            with self._storage.read() as connection:
                state = revisions.read_state(connection)
                active = revisions.active_id(connection)
                known_digest = revisions.secrets_digest(connection)
            if if_match is not None and if_match != state.etag():
                raise Stale("The configuration has changed since it was read; plan again and apply that")
            planned = planned_from(state)
            digest = self._secrets.digest(_delivered(planned.state))
            if not planned.changed and (active is None or digest == known_digest or not for_caddy):
                return Outcome(False, planned.etag, (), planned.warnings, active)
            if not planned.changed:
                self._reload_with_new_secrets(state, digest)
                return Outcome(False, planned.etag, (), planned.warnings, active)
            for_caddy = any(change.key not in _OURS for change in planned.changes)
            force = digest != known_digest
            return self._bring_into_force(actor, state, planned, digest if for_caddy else None, force=force, note=note)

    def alone(self) -> AbstractContextManager[None]:
        """One change at a time, of this process and of all others.

        Raises:
            Unavailable: another goes on for 30 s.
        """
        return self._lock.alone()

    def state(self) -> State:
        """What is declared, as of the active revision."""
        with self._storage.read() as connection:
            return revisions.read_state(connection)

    def deliver_secrets(self, state: State) -> None:
        """Let Caddy take values that changed behind their names; the caller holds :meth:`alone`.

        Raises:
            Refused: Caddy does not take them.
            Unavailable: Caddy does not answer, or the files cannot be written. The next reconcile tries again.
        """
        with self._storage.read() as connection:
            active = revisions.active_id(connection)
        if active is None:
            self._write_credentials(state)
        else:
            self._reload_with_new_secrets(state, self._secrets.digest(_delivered(state)))

    def reconcile(self) -> bool:
        """Make Caddy run the active revision if it runs anything else; return whether it had to.

        Also mends what a crash left behind: a pending revision, an old ``caddy.json``,
        credentials of before a change; and the gate's tables, which name what the mode decides.

        Raises:
            Unavailable: Caddy does not answer, or an apply takes too long.
        """
        with self.alone():
            with self._storage.read() as connection:
                state = revisions.read_state(connection)
                active = revisions.active_id(connection)
                known_digest = revisions.secrets_digest(connection)
                crashed = revisions.any_pending(connection)
                gate_in_step = revisions.gate_in_step(connection, state, self._context)
            if not gate_in_step:
                self._bring_gate_in_step(state)  # first: people may enter though Caddy is not right yet
            if crashed:
                with self._storage.write() as connection:
                    revisions.fail_pending(connection)
            if active is None:
                write_credentials(self._secrets, (), self._settings.credentials_dir)
                return False
            write_credentials(self._secrets, state.secret_names(), self._settings.credentials_dir)
            digest = self._secrets.digest(_delivered(state))
            wanted = rendered(state, self._context)
            laid_out = self._lay_out(state, wanted)
            other = self._running() != msgspec.json.decode(wanted.config)
            reload = laid_out or other or digest != known_digest
            if reload:
                self._load_or_say(wanted.config)
                with self._storage.write() as connection:
                    revisions.keep_secrets_digest(connection, digest)
                    if other:
                        revisions.note_mended(connection, self._storage.clock.now())
            if other:
                log.warning("Caddy ran something else than revision %d, and was brought back to it", active)
            if self._active.keep(wanted) or crashed or reload:
                # Who ended half-way may have committed and not told the gate (FWD-2).
                self._epoch.advance()
            self._seen_running = self._fingerprint()
            return reload

    def _bring_gate_in_step(self, state: State) -> None:
        with self._storage.write() as connection:
            revisions.write_gate(connection, state, self._context)
        self._epoch.advance()
        log.warning("The gate's tables said something else than the active revision in mode %s", self._context.mode)

    def _lay_out(self, state: State, wanted: Rendered) -> bool:
        """Put what Caddy reads besides its configuration where it looks; return whether a certificate was new to it."""
        self._active.lay_out(wanted)
        return own_certificates.lay_out(self._caddy, state, self._secrets.reveal)

    def _planned(self, state: State, document: Document, pending: Collection[str] = ()) -> Plan:
        return self._checked(state, planning.plan(state, break_glass.resolved(state, document)), pending)

    def _replacement(self, state: State, after: State) -> Plan:
        return self._checked(state, planning.replacing(state, export.checked(after)))

    def _panel_addresses(self) -> list[str]:
        """This machine's own, where the panel listens on them: only in ``lan``."""
        return own_addresses() if self._context.mode == "lan" else []

    def _checked(self, state: State, planned: Plan, pending: Collection[str] = ()) -> Plan:
        if break_glass.ends_sign_ins(state, planned.state):
            planned = msgspec.structs.replace(planned, warnings=(*planned.warnings, break_glass.SIGNED_OUT))
        if planned.changed:
            lapi = urlsplit(lapi_url(planned.state.crowdsec.lapi_url, self._context.lapi_url)).port
            ports = {self._context.panel_port, 2019, *([lapi] if lapi else [])}
            names = {*self._secrets.names(), *pending}
            panel_at = [(address, self._context.panel_port) for address in self._panel_addresses()]
            errors = crosscheck(planned.state, self._context.mode, names, ports, panel_at)
            now = self._storage.clock.now()
            errors += own_certificates.errors_of(planned.changes, planned.state, self._secrets.reveal, now)
            errors.extend(header_errors(planned.state, self._secrets))
            if errors:
                raise Invalid(errors)
            warnings = own_certificates.warnings_of(planned.changes, planned.state, now)
            return msgspec.structs.replace(planned, warnings=(*planned.warnings, *warnings))
        return planned

    def _bring_into_force(
        self, actor: Actor, state: State, planned: Plan, digest: str | None, *, force: bool, note: str
    ) -> Outcome:
        now = self._storage.clock.now()
        with self._storage.write() as connection:
            revision = revisions.begin(connection, planned, str(actor), now, note)
        wanted = rendered(planned.state, self._context)
        try:
            if digest is not None:  # None: nothing of it reaches Caddy
                names = planned.state.secret_names() | state.secret_names()
                write_credentials(self._secrets, names, self._settings.credentials_dir)
                self._lay_out(planned.state, wanted)
                self._caddy.load(wanted.config, force=force)
        except (CaddyRefused, CaddyUnreachable, OSError) as problem:
            if isinstance(problem, CaddyUnreachable):
                self._unsettled_until = time.monotonic() + UNSETTLED_S
            raise self._put_back(actor, state, planned, revision, problem) from problem
        try:
            with self._storage.write() as connection:
                revisions.activate(connection, revision, planned, self._context, now)
                if digest is not None:
                    revisions.keep_secrets_digest(connection, digest)
                self._record(connection, actor, state, planned, revision, note)
        except BaseException as problem:
            self._put_back(actor, state, planned, revision, problem)
            raise
        # From here on the revision is in force; what fails below is mended by the next reconcile.
        self._epoch.advance()
        warnings = planned.warnings
        try:
            self._active.keep(wanted)
        except OSError as problem:
            log.exception("caddy.json of revision %d cannot be written", revision)
            warnings += (f"{self._settings.edge_dir}: {problem.strerror}; Caddy would start with the revision before",)
        self._forget(planned)
        self._epoch.advance()
        return Outcome(True, planned.state.etag(), planned.changes, warnings, revision)

    def _forget(self, planned: Plan) -> None:
        """Let go of the keys that the revision no longer needs; what cannot be reached now goes another time."""
        if any(change.kind == "certificate" for change in planned.changes):
            try:
                own_certificates.sweep(self._caddy, planned.state)
            except (CaddyRefused, CaddyUnreachable):
                log.warning("Caddy still keeps certificates that nobody declares; the next change of one forgets them")

    def _record(  # noqa: PLR0917 - what happened, in the order of its telling
        self, connection: Connection, actor: Actor, before: State, planned: Plan, revision: int, note: str
    ) -> None:
        """Audit rows of an activation, and the end of sign-ins that nobody vouches for any more."""
        for change in planned.changes:
            target = f"{change.kind}/{change.name}"
            self._audit.record(connection, actor, "config.apply", target, change.before, change.after)
            if raw := planning.raw_handlers(change):
                self._audit.record(connection, actor, "config.raw_handlers", target, None, raw)
        if note:
            self._audit.record(connection, actor, "config.replace", f"revision/{revision}", None, {"note": note})
        if break_glass.ends_sign_ins(before, planned.state):
            break_glass.end_sign_ins(connection, self._audit, actor)

    def _put_back(
        self, actor: Actor, state: State, planned: Plan, revision: int, problem: BaseException
    ) -> Refused | Unavailable:
        """Mark the revision failed, let Caddy run the last active one again, and say what happened."""
        validate = attribution.validation(self._settings.caddy_binary, lambda tried: render(tried, self._context))
        answer = explained(problem, validate, state, planned, self._scrubber)
        try:
            with self._storage.write() as connection:
                revisions.fail(connection, revision, answer.message)
                self._audit.record(
                    connection, actor, "config.refused", f"revision/{revision}", None, {"reason": answer.message}
                )
        finally:
            self._restore(state)
        return answer

    def _restore(self, state: State) -> None:
        with self._storage.read() as connection:
            active = revisions.active_id(connection)
        if active is None:
            return
        try:
            # Not forced: after a plain refusal Caddy runs the old one still, and has nothing to do.
            self._caddy.load(rendered(state, self._context).config)
        except (CaddyRefused, CaddyUnreachable):
            log.warning("Caddy did not take the last active revision back; the next reconcile tries again")

    def _reload_with_new_secrets(self, state: State, digest: str) -> None:
        self._write_credentials(state)
        self._load_or_say(rendered(state, self._context).config)
        with self._storage.write() as connection:
            revisions.keep_secrets_digest(connection, digest)

    def _write_credentials(self, state: State) -> None:
        try:
            write_credentials(self._secrets, state.secret_names(), self._settings.credentials_dir)
        except OSError as problem:
            raise Unavailable(f"{self._settings.credentials_dir}: {problem.strerror}") from problem

    def _load_or_say(self, config: str) -> None:
        try:
            self._caddy.load(config, force=True)
        except CaddyRefused as problem:
            reason = self._scrubber.scrub(attribution.short_reason(problem.reason))
            raise Refused(f"the active revision: Caddy refused it: {reason}") from None
        except CaddyUnreachable as problem:
            raise Unavailable(problem.message) from None

    def _running(self) -> object:
        try:
            return self._caddy.config()
        except CaddyUnreachable as problem:
            raise Unavailable(problem.message) from None

    def _fingerprint(self) -> bytes:
        try:
            return self._caddy.fingerprint()
        except CaddyUnreachable as problem:
            raise Unavailable(problem.message) from None


def _delivered(state: State) -> frozenset[str]:
    """The secrets whose values Caddy has: a change of one needs a load though the configuration stays."""
    return state.secret_names() | {BOUNCER_KEY}


def _is_ours_alone(document: Document) -> bool:
    """Whether ``document`` declares something that is not Caddy's, and nothing else."""
    declared = {("settings", name) for name in SETTINGS if getattr(document.settings, name) is not None}
    named = any(kind.declared(document) for kind in KINDS.values())
    return bool(declared) and declared <= _OURS and not (named or document.prune)
