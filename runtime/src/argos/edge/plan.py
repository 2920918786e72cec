"""What a document would change: a pure function of what is stored and what is declared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from argos.edge.model import (
    CrowdsecSettings,
    Document,
    EdgeSettings,
    Host,
    OidcSettings,
    SessionSettings,
    canonical,
    spec_of,
)

SETTINGS_TYPES: dict[str, type[EdgeSettings | SessionSettings | CrowdsecSettings | OidcSettings]] = {
    "edge": EdgeSettings,
    "session": SessionSettings,
    "crowdsec": CrowdsecSettings,
    "oidc": OidcSettings,
}

Key = tuple[str, str]


class Stored(msgspec.Struct, frozen=True):
    """A resource as it stands in the database: plain JSON values and its owner's label."""

    spec: dict[str, Any]
    owner: str = ""


class State(msgspec.Struct, frozen=True):
    """All declared resources by ``(kind, name)``."""

    resources: dict[Key, Stored] = {}

    @property
    def edge(self) -> EdgeSettings | None:
        """``settings/edge``, or None while nobody has declared it."""
        stored = self.resources.get(("settings", "edge"))
        return None if stored is None else msgspec.convert(stored.spec, EdgeSettings)

    @property
    def session(self) -> SessionSettings:
        """``settings/session``, with defaults while undeclared."""
        stored = self.resources.get(("settings", "session"))
        return SessionSettings() if stored is None else msgspec.convert(stored.spec, SessionSettings)

    @property
    def crowdsec(self) -> CrowdsecSettings:
        """``settings/crowdsec``, with defaults while undeclared."""
        stored = self.resources.get(("settings", "crowdsec"))
        return CrowdsecSettings() if stored is None else msgspec.convert(stored.spec, CrowdsecSettings)

    @property
    def oidc(self) -> OidcSettings | None:
        """``settings/oidc``, or None while nobody has declared it."""
        stored = self.resources.get(("settings", "oidc"))
        return None if stored is None else msgspec.convert(stored.spec, OidcSettings)

    def hosts(self) -> tuple[Host, ...]:
        """Every published host, by name."""
        return tuple(
            msgspec.convert(stored.spec, Host)
            for (kind, _unused), stored in sorted(self.resources.items())
            if kind == "host"
        )

    def as_json(self) -> str:
        """Canonical JSON ``{kind: {name: {"spec", "owner"}}}``, the form that a revision keeps."""
        tree: dict[str, dict[str, Stored]] = {}
        for (kind, name), stored in self.resources.items():
            tree.setdefault(kind, {})[name] = stored
        return canonical(tree)

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """Read back :meth:`as_json`."""
        tree = msgspec.json.decode(text, type=dict[str, dict[str, Stored]])
        return cls({(kind, name): stored for kind, named in tree.items() for name, stored in named.items()})

    def etag(self) -> str:
        """SHA-256 of the canonical state, in hex."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()


class Change(msgspec.Struct, frozen=True):
    """One resource that differs; ``before``/``after`` are its spec with its owner, None where there is none."""

    kind: str
    name: str
    action: Literal["create", "update", "delete"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Plan(msgspec.Struct, frozen=True):
    """What applying would do. ``etag`` is of the state planned against, ``state`` the one it leads to."""

    changes: tuple[Change, ...]
    etag: str
    state: State
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything differs at all."""
        return bool(self.changes)


def plan(state: State, document: Document) -> Plan:
    """Compare ``document`` with ``state``.

    A partial document leaves the rest alone. ``prune`` removes only hosts whose owner
    is the document's; settings are never pruned, since hosts depend on them.
    """
    desired = dict(state.resources)
    warnings: list[str] = []
    for key, spec in _declared(document):
        held = state.resources.get(key)
        if held is not None and held.owner != document.owner:
            warnings.append(f"{key[0]}/{key[1]} was managed by {held.owner!r} and is now managed by {document.owner!r}")
        desired[key] = Stored(spec, document.owner)
    for key in _removed(state.resources, document):
        desired.pop(key, None)
    after = State(desired)
    return Plan(tuple(_changes(state.resources, desired)), state.etag(), after, tuple(warnings))


def _declared(document: Document) -> Iterator[tuple[Key, dict[str, Any]]]:
    for name in SETTINGS_TYPES:
        value = getattr(document.settings, name)
        if value is not None:
            yield ("settings", name), spec_of(value)
    for host in document.hosts:
        if host.state == "present":
            yield ("host", host.name), spec_of(host)


def _removed(stored: Mapping[Key, Stored], document: Document) -> Iterator[Key]:
    for host in document.hosts:
        if host.state == "absent":
            yield ("host", host.name)
    if document.prune:
        named = {host.name for host in document.hosts}
        for (kind, name), held in stored.items():
            if kind == "host" and held.owner == document.owner and name not in named:
                yield (kind, name)


def _changes(before: Mapping[Key, Stored], after: Mapping[Key, Stored]) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None:
            if canonical(old) != canonical(new):
                yield Change(*key, "update", _shown(old), _shown(new))
        elif new is not None:
            yield Change(*key, "create", None, _shown(new))
        else:
            yield Change(*key, "delete", _shown(old), None)


def _shown(stored: Stored | None) -> dict[str, Any] | None:
    return None if stored is None else {**stored.spec, "owner": stored.owner}
