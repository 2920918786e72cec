"""The switch: the stored provider on or off, without asking the provider (OIDC-6), and what goes off with it."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete

from argos.audit import Actor, Audit
from argos.edge.decode.oidc import OidcSwitch
from argos.edge.model import Document, OidcSettings, Settings
from argos.edge.plan import State
from argos.errors import Conflict, FieldError, Invalid
from argos.storage.tables import sessions

PROVIDER = "oidc"
SIGNED_OUT = "settings/oidc: everybody who signed in with the provider is signed out"


def switched(state: State, *, enabled: bool) -> Document:
    """The document that turns the provider on or off and changes nothing else, its owner included.

    Raises:
        Conflict: none is declared, or not enough to be switched on.
    """
    if state.oidc is None or (enabled and _missing(state.oidc)):
        raise Conflict("settings/oidc: no provider is declared in full; declare it with argos.edge.oidc")
    return Document(settings=Settings(oidc=OidcSwitch(enabled=enabled)))


def resolved(state: State, document: Document) -> Document:
    """``document`` with what is stored of the provider where it says ``enabled`` alone.

    The break glass thus keeps the declaration, and switching on brings it back. A document
    that says nothing else keeps the owner too.

    Raises:
        Invalid: it switches on, and what is stored does not suffice.
    """
    switch = document.settings.oidc
    if not isinstance(switch, OidcSwitch):
        return document
    held = state.oidc or OidcSettings(enabled=False)
    if switch.enabled and (missing := _missing(held)):
        problem = "is missing, and none is stored from an earlier declaration"
        raise Invalid([FieldError("settings/oidc", name, problem, "a value while enabled is true") for name in missing])
    settings = msgspec.structs.replace(document.settings, oidc=msgspec.structs.replace(held, enabled=switch.enabled))
    stored = state.resources.get(("settings", "oidc"))
    alone = document == Document(document.owner, settings=Settings(oidc=switch))
    owner = stored.owner if stored is not None and alone else document.owner
    return msgspec.structs.replace(document, settings=settings, owner=owner)


def ends_sign_ins(before: State, after: State) -> bool:
    """Whether the provider that vouched for people is one no more: switched off, removed, or another one."""
    was, is_now = before.oidc, after.oidc
    if was is None or not was.enabled:
        return False
    return is_now is None or not is_now.enabled or is_now.issuer != was.issuer


def end_sign_ins(connection: Connection, audit: Audit, actor: Actor) -> None:
    """End every sign-in that came from the provider, in the caller's transaction; who then advances the epoch."""
    ended = connection.execute(delete(sessions).where(sessions.c.provider == PROVIDER)).rowcount
    if ended:
        audit.record(connection, actor, "session.revoke_provider", "settings/oidc", before={"sessions": ended})


def _missing(settings: OidcSettings) -> list[str]:
    return [name for name in ("issuer", "client_id", "client_secret") if not getattr(settings, name)]
