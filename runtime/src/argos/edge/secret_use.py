"""Named secrets beside what is declared: who uses one, whether it fits that use, and its way to Caddy.

A value is written once and read where it is used: Caddy takes it at once, the runtime
at its next use, and no restart is needed. One that somebody uses is not deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from argos.audit import Actor
from argos.edge.credentials import BOUNCER_KEY
from argos.edge.header_rules import header_value_problem
from argos.edge.model import secret_places
from argos.edge.plan import State
from argos.errors import Conflict, FieldError, Invalid, NotFound, Refused, Unavailable
from argos.named_secrets import NamedSecrets
from argos.spellings import SHORTEST

if TYPE_CHECKING:
    from argos.edge.apply import ApplyEngine

_MACHINE = "crowdsec-machine"  # the runtime's own credentials at LAPI
_HEADER = re.compile(r"(?:^|[._])headers?\.")
# As caddy-dns/cloudflare wants it: with another it starts no configuration, and quotes the token.
_CLOUDFLARE_TOKEN = re.compile(r"[A-Za-z0-9_-]{35,50}")
_TOKEN_SHAPE = "35 to 50 letters, digits, dashes and underscores"  # noqa: S105 - a shape
_ONE_LINE = "one line without control characters, as it is a header's value (RFC 9110 §5.5)"


@dataclass(frozen=True)
class SecretView:
    """What may be known of a secret: everything but its value. Times are Unix seconds."""

    name: str
    version: int
    updated_at: int
    used_by: tuple[str, ...]


@dataclass(frozen=True)
class SecretChange:
    """What became of a write; ``warnings``: of a value that is stored, though not all is well with it."""

    changed: bool
    version: int
    warnings: tuple[str, ...] = ()


class DeclaredSecrets:
    """The one way by which panel, API, CLI and module write secrets."""

    def __init__(self, engine: ApplyEngine, secrets: NamedSecrets) -> None:
        self._engine = engine
        self._secrets = secrets

    def views(self) -> list[SecretView]:
        """All of them, by name."""
        users = users_of(self._engine.state())
        return [
            SecretView(kept.name, kept.version, kept.updated_at, users.get(kept.name, ()))
            for kept in self._secrets.kept()
        ]

    def set(self, actor: Actor, name: str, value: str) -> SecretChange:
        """Store a value, and let Caddy take it at once where a resource needs it.

        Raises:
            Invalid: the name or the value is not allowed, or the value does not fit who uses it.
            Conflict: there are too many.
            Unavailable: another change is being applied.
        """
        with self._engine.alone():
            state = self._engine.state()
            _refuse_unfit(state, name, value)
            changed = self._secrets.set(actor, name, value)
            warnings = (*_too_short(value), *self._deliver(state, name)) if changed else ()
        return SecretChange(changed, self._version(name), warnings)

    def would_set(self, name: str, value: str) -> SecretChange:
        """Tell what :meth:`set` would answer, and change nothing.

        Raises:
            Invalid, Conflict: as :meth:`set` would.
        """
        _refuse_unfit(self._engine.state(), name, value)
        changed = self._secrets.would_change(name, value)
        return SecretChange(changed, self._version(name) + changed, _too_short(value) if changed else ())

    def delete(self, actor: Actor, name: str, *, check: bool = False) -> None:
        """Forget a secret that nobody uses; with ``check`` only tell whether that would be done.

        Raises:
            NotFound: none has that name.
            Conflict: it is in use; the message names who uses it.
            Unavailable: another change is being applied.
        """
        with self._engine.alone():
            if not self._version(name):
                raise NotFound(f"secret/{name[:63]}: there is no such secret")
            users = users_of(self._engine.state()).get(name, ())
            if users:
                shown = ", ".join(users[:10]) + (f" and {len(users) - 10} more" if len(users) > 10 else "")
                raise Conflict(f"secret/{name}: is used by {shown}; change them first")
            if not check:
                self._secrets.delete(actor, name)

    def _deliver(self, state: State, name: str) -> tuple[str, ...]:
        if name != BOUNCER_KEY and name not in state.secret_names():
            return ()
        try:
            self._engine.deliver_secrets(state)
        except (Refused, Unavailable) as problem:
            return (f"It is stored; Caddy has not taken it yet: {problem.message}. It is tried again within a minute.",)
        return ()

    def _version(self, name: str) -> int:
        return next((kept.version for kept in self._secrets.kept() if kept.name == name), 0)


def users_of(state: State) -> dict[str, tuple[str, ...]]:
    """By a secret's name, the resources that name it: ``host/photos.home.example``, ``settings/oidc``."""
    found: dict[str, dict[str, None]] = {}
    for (kind, name), stored in sorted(state.resources.items(), key=lambda item: item[0]):
        for _unused, secret in secret_places(stored.value):
            found.setdefault(secret, {})[f"{kind}/{name}"] = None
    if state.crowdsec.enabled:
        for secret in (BOUNCER_KEY, _MACHINE):
            found.setdefault(secret, {})["settings/crowdsec"] = None
    return {secret: tuple(users) for secret, users in found.items()}


def header_errors(state: State, secrets: NamedSecrets) -> Iterator[FieldError]:
    """Where a header's value is a secret that no header can hold: Caddy would answer 502."""
    unfit: dict[str, str | None] = {}
    for (kind, name), stored in sorted(state.resources.items(), key=lambda item: item[0]):
        for place, secret in secret_places(stored.value):
            if not _HEADER.search(place):
                continue
            if secret not in unfit:
                unfit[secret] = _problem(secrets, secret)
            if unfit[secret]:
                problem = f"names {secret!r}, whose value {unfit[secret]}"
                yield FieldError(f"{kind}/{name}", place, problem, f"a secret of {_ONE_LINE}")


def _problem(secrets: NamedSecrets, name: str) -> str | None:
    try:
        return header_value_problem(secrets.reveal(name))
    except NotFound:
        return None  # said by crosscheck


def _too_short(value: str) -> tuple[str, ...]:
    if len(value.strip()) >= SHORTEST:
        return ()
    problem = f"The value has fewer than {SHORTEST} characters: should it ever stand in a log or an error"
    return (f"{problem}, it is not blanked out there. Use a longer one.",)


def _refuse_unfit(state: State, name: str, value: str) -> None:
    problem = header_value_problem(value)
    no_token = _CLOUDFLARE_TOKEN.fullmatch(value) is None
    if problem is None and not no_token:
        return
    for (kind, resource), stored in sorted(state.resources.items(), key=lambda item: item[0]):
        for place, secret in secret_places(stored.value):
            if secret == name and kind == "dns_provider" and place == "api_token.secret" and no_token:
                said = f"is no API token of Cloudflare's, and {kind}/{resource} uses it as one"
                raise Invalid([FieldError(f"secret/{name[:63]}", "value", said, _TOKEN_SHAPE)])
            if problem is not None and secret == name and _HEADER.search(place):
                said = f"{problem}, and {kind}/{resource} sends it as {place.removesuffix('.secret')}"
                raise Invalid([FieldError(f"secret/{name[:63]}", "value", said, _ONE_LINE)])
