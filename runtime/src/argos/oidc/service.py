"""Signing in with the declared provider: begin, come back, leave."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec
from sqlalchemy import Connection, select, update

from argos.audit import Actor
from argos.edge.model import OidcSettings
from argos.errors import ArgosError, NotFound
from argos.oidc import tokens as verification
from argos.oidc.break_glass import PROVIDER
from argos.oidc.errors import (
    Crowded,
    NotAllowed,
    NotOffered,
    TokenRejected,
    UnknownState,
)
from argos.oidc.exchange import Exchange
from argos.oidc.identities import Identities
from argos.oidc.pending import Begun, Pending, Ticket
from argos.oidc.policy import judge
from argos.oidc.provider import Provider
from argos.oidc.starts import Starts
from argos.oidc.trial import try_connection
from argos.steps import Step
from argos.storage.tables import resources, sessions

if TYPE_CHECKING:
    from argos.accounts.records import Records
    from argos.named_secrets import NamedSecrets
    from argos.scrub import Scrubber
    from argos.sessions.model import IssuedSession
    from argos.vault import Vault

ID_TOKEN_KEPT = 6 * 1024  # characters; a longer one is no hint, as it must fit a URL
WAITING = 4  # threads of the panel's 16 that may wait for the provider; 11 may hash passwords

log = logging.getLogger("argos.oidc")


@dataclass(frozen=True)
class Start:
    """Where to send the browser, and what it must keep."""

    url: str
    ticket: Ticket


@dataclass(frozen=True)
class Arrived:
    """A finished sign-in; ``issued`` is None when an account was linked."""

    username: str
    target: str
    issued: IssuedSession | None


@dataclass(frozen=True)
class LogoutHint:
    """Whose session of the provider's it was, and the sealed ID token that came with it, if it was short enough."""

    user_id: int
    id_token: bytes | None = field(repr=False)


class Oidc:
    """The relying party over one database."""

    def __init__(self, records: Records, vault: Vault, named_secrets: NamedSecrets, scrubber: Scrubber) -> None:
        storage = records.storage
        self._storage = storage
        self._vault = vault
        self._sessions = records.sessions
        self._scrubber = scrubber
        self._exchange = Exchange(named_secrets, scrubber, storage.clock)
        self._lock = threading.Lock()
        self._places = threading.Semaphore(WAITING)
        self._provider: Provider | None = None
        self.pending = Pending(storage, vault)
        self.identities = Identities(records)
        self.starts = Starts(storage.clock)

    def settings(self) -> OidcSettings | None:
        """``settings/oidc``, or None while undeclared. PERF: one row, as each sign-in page asks."""
        with self._storage.read() as connection:
            return _settings_in(connection)

    def offered_name(self) -> str:
        """The name of the provider that is switched on; empty when none is."""
        settings = self.settings()
        return settings.name if settings is not None and settings.enabled else ""

    def offered(self) -> OidcSettings:
        """The settings while the provider is switched on.

        Raises:
            NotOffered: it is not.
        """
        settings = self.settings()
        if settings is None or not settings.enabled:
            raise NotOffered
        return settings

    def begin(
        self,
        redirect_uri: str,
        target: str,
        address: str,
        *,
        link: tuple[int, int] | None = None,
        confirm: tuple[int, int] | None = None,
    ) -> Start:
        """Begin a sign-in.

        Args:
            redirect_uri: our callback, as registered at the provider.
            target: where the person wants to go; judged by the caller.
            address: the client's, which may begin only so many.
            link: ids of the user and the session that want to be linked.
            confirm: ids of the user and the session that want to be freshly proved; the provider asks them anew.

        Raises:
            NotOffered, ProviderUnavailable: it cannot begin.
        """
        settings = self.offered()
        self.starts.count(address)
        with self._place():
            metadata = self._provider_of(settings).metadata()
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
        link_user, link_session = link or (None, None)
        confirm_user, confirm_session = confirm or (None, None)
        begun = Begun(
            settings.issuer,
            settings.client_id,
            nonce,
            verifier,
            redirect_uri,
            target,
            link_user,
            link_session,
            confirm_user,
            confirm_session,
            self._storage.clock.now(),
        )
        ticket = self.pending.put(begun)
        question = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": ticket.state,
            "nonce": nonce,
            # RFC 7636 §4.2: only the digest leaves (OIDC-2).
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if confirm is not None:
            # Core §3.1.2.1: asked anew although the provider still knows them, and the token says when (auth_time).
            question |= {"prompt": "login", "max_age": "0"}
        return Start(_with_query(metadata.authorization_endpoint, question), ticket)

    def finish(self, ticket: Ticket, answer: Mapping[str, str], address: str, user_agent: str) -> Arrived:
        """Finish a sign-in with what the provider sent the browser back with.

        Raises:
            UnknownState: it was not begun in this browser, or is over.
            ProviderRefused, ProviderUnavailable, TokenRejected: no sign-in came of it.
            NotAllowed: the operator did not mean this person.
            NotOffered: the provider was switched off or changed meanwhile.
        """
        begun = self.pending.take(ticket)
        try:
            with self._place():
                return self._finish(begun, answer, address, user_agent)
        except Crowded:
            self.pending.give_back(ticket, begun)  # so that loading the page again finishes it
            raise

    def _finish(self, begun: Begun, answer: Mapping[str, str], address: str, user_agent: str) -> Arrived:
        settings = self.offered()
        if (settings.issuer, settings.client_id) != (begun.issuer, begun.client_id):
            raise UnknownState
        provider = self._provider_of(settings)
        claims, id_token = self._exchange.sign_in(settings, provider, begun, answer)
        arrival = judge(settings, claims)
        if begun.link_user is not None and begun.link_session is not None:
            actor = Actor("user", f"id {begun.link_user}", address)
            username = self.identities.link(actor, settings.issuer, arrival, begun.link_user, begun.link_session)
            return Arrived(username, begun.target, None)
        proved_at = verification.auth_time(claims, self._storage.clock.now())
        if begun.confirm_user is not None and begun.confirm_session is not None:
            return self._confirm(begun, arrival.subject, proved_at, address, user_agent)
        user_id, username = self.identities.arrive(settings.issuer, arrival, address, provision=settings.auto_provision)
        issued = self._begin_session(
            settings.issuer,
            user_id,
            Actor("user", username, address),
            user_agent,
            id_token,
            second_factor=arrival.used_second_factor,
            proved_at=proved_at,
        )
        return Arrived(username, begun.target, issued)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Be one of the few who may wait for the provider.

        APPSEC: each wait holds a thread of the panel. Were there no limit, a provider that answers
        nothing would let anybody take the local way in from everybody (OIDC-6).

        Raises:
            Crowded: they are all waiting.
        """
        if not self._places.acquire(blocking=False):
            raise Crowded
        try:
            yield
        finally:
            self._places.release()

    def confirms(self, user_id: int) -> str:
        """The name of the provider that can ask this person anew who they are; empty when none can."""
        settings = self.settings()
        able = settings is not None and settings.enabled and self.identities.is_tied(settings.issuer, user_id)
        return settings.name if settings is not None and able else ""

    def logout_hint(self, session_id: int) -> LogoutHint | None:
        """What signing out at the provider takes, kept in the session's row; None for a sign-in that came otherwise.

        To be read before the session is revoked; the provider is not asked.
        """
        with self._storage.read() as connection:
            row = connection.execute(
                select(sessions.c.user_id, sessions.c.provider, sessions.c.id_token).where(sessions.c.id == session_id)
            ).first()
        return None if row is None or row.provider != PROVIDER else LogoutHint(row.user_id, row.id_token)

    def logout_url(self, hint: LogoutHint | None, return_to: str) -> str | None:
        """Where a browser signs out at the provider too (RP-Initiated Logout 1.0 §2); None when there is no such place.

        Asked after the session was revoked, as the provider may take its time. One that does not answer is left alone.
        """
        if hint is None:
            return None
        try:
            settings = self.offered()
            with self._place():
                metadata = self._provider_of(settings).metadata()
            if not metadata.end_session_endpoint:
                return None
            question = {"client_id": settings.client_id, "post_logout_redirect_uri": return_to}
            if hint.id_token is not None:
                place = str(hint.user_id)
                question["id_token_hint"] = self._vault.open("sessions", "id_token", place, hint.id_token).decode()
            return _with_query(metadata.end_session_endpoint, question)
        except ArgosError as error:
            log.info("signed out here only: %s", self._scrubber.scrub(error.message))
            return None

    def test(self, redirect_uri: str) -> list[Step]:
        """Try the connection step by step, as far as it goes without a person; nothing is stored."""
        return try_connection(self.settings(), self._exchange, self._scrubber, redirect_uri)

    def _confirm(self, begun: Begun, subject: str, proved_at: int | None, address: str, user_agent: str) -> Arrived:
        """Renew the session that asked for it as freshly proved, when the provider did ask that very person anew."""
        user_id, session_id = begun.confirm_user or 0, begun.confirm_session or 0
        if not self.identities.is_tied(begun.issuer, user_id, subject):
            raise NotAllowed("You signed in at the provider as somebody else than you are here.")
        if proved_at is None or proved_at < begun.begun_at - verification.SKEW:
            raise TokenRejected(
                "The provider did not ask you anew who you are (auth_time). Sign out, there too, and sign in again."
            )
        try:
            actor = Actor("user", f"id {user_id}", address)
            issued = self._sessions.renew(actor, session_id, address, user_agent, proved=True)
        except NotFound:
            raise UnknownState from None
        return Arrived(issued.session.username, begun.target, issued)

    def _begin_session(
        self,
        issuer: str,
        user_id: int,
        actor: Actor,
        user_agent: str,
        id_token: str,
        *,
        second_factor: bool,
        proved_at: int | None,
    ) -> IssuedSession:
        issued = self._sessions.begin(
            actor, user_id, actor.address, user_agent, second_factor=second_factor, proved_at=proved_at
        )
        values: dict[str, Any] = {"provider": PROVIDER}
        if len(id_token) <= ID_TOKEN_KEPT:
            # Bound to the person, not to the row: a renewed session carries it on.
            values["id_token"] = self._vault.seal("sessions", "id_token", str(user_id), id_token.encode())
        with self._storage.write() as connection:
            now_settings = _settings_in(connection)
            still = now_settings is not None and now_settings.enabled and now_settings.issuer == issuer
            still = still and self.identities.is_tied_within(connection, issuer, user_id)
            if still:
                connection.execute(update(sessions).where(sessions.c.id == issued.session.id).values(**values))
        if not still:
            # Switched off or unlinked while the provider was asked: what ended its sign-ins did not see this one yet.
            self._sessions.revoke(actor, issued.session.id)
            raise NotOffered
        return issued

    def _provider_of(self, settings: OidcSettings) -> Provider:
        with self._lock:
            if self._provider is None or self._provider.issuer != settings.issuer:
                self._provider = Provider(settings.issuer)
            return self._provider


def _settings_in(connection: Connection) -> OidcSettings | None:
    query = select(resources.c.spec).where(resources.c.kind == "settings", resources.c.name == "oidc")
    spec = connection.scalar(query)
    return None if spec is None else msgspec.json.decode(spec, type=OidcSettings)


def _with_query(url: str, question: dict[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(question)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
