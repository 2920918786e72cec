"""What a document would change: a pure function of what is stored and what is declared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from argos.edge.decode.kinds import KINDS, struct_of
from argos.edge.model import (
    SETTINGS,
    CrowdsecSettings,
    Document,
    EdgeSettings,
    Host,
    MailSettings,
    OidcSettings,
    SessionSettings,
    WafPolicy,
    canonical,
    spec_of,
)
from argos.errors import Unavailable

Key = tuple[str, str]


class Stored(msgspec.Struct, frozen=True):
    """A declared resource, complete with its defaults, and its owner's label."""

    value: Any = msgspec.field(name="spec")
    owner: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        """Plain JSON values, as callers see them."""
        return spec_of(self.value)


class _Row(msgspec.Struct):
    spec: msgspec.Raw
    owner: str = ""


class State(msgspec.Struct, frozen=True, dict=True):
    """All declared resources by ``(kind, name)``."""

    resources: dict[Key, Stored] = {}

    @property
    def edge(self) -> EdgeSettings | None:
        """``settings/edge``, or None while nobody has declared it."""
        edge: EdgeSettings | None = self._setting("edge")
        return edge

    @property
    def session(self) -> SessionSettings:
        """``settings/session``, with defaults while undeclared."""
        return self._setting("session") or SessionSettings()

    @property
    def crowdsec(self) -> CrowdsecSettings:
        """``settings/crowdsec``, with defaults while undeclared."""
        return self._setting("crowdsec") or CrowdsecSettings()

    @property
    def oidc(self) -> OidcSettings | None:
        """``settings/oidc``, or None while nobody has declared it."""
        oidc: OidcSettings | None = self._setting("oidc")
        return oidc

    @property
    def mail(self) -> MailSettings | None:
        """``settings/mail``, or None while nobody has declared it."""
        mail: MailSettings | None = self._setting("mail")
        return mail

    def _setting(self, name: str) -> Any:
        stored = self.resources.get(("settings", name))
        return None if stored is None else stored.value

    def hosts(self) -> tuple[Host, ...]:
        """Every published host, by name."""
        return self.of_kind("host")

    def waf_policies(self) -> dict[str, WafPolicy]:
        """Every named WAF policy by its name."""
        return {policy.name: policy for policy in self.of_kind("waf_policy")}

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """Every resource of ``kind``, by name."""
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, list[Any]] = {}
        for (kind, _unused), stored in sorted(self.resources.items(), key=lambda item: item[0]):
            found.setdefault(kind, []).append(stored.value)
        return {kind: tuple(values) for kind, values in found.items()}

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets that Caddy needs."""
        return frozenset(name for kind in KINDS for resource in self.of_kind(kind) for name in resource.secret_names())

    def as_json(self) -> str:
        """Canonical JSON ``{kind: {name: {"spec", "owner"}}}``, the form that a revision keeps."""
        tree: dict[str, dict[str, Stored]] = {}
        for (kind, name), stored in self.resources.items():
            tree.setdefault(kind, {})[name] = stored
        return canonical(tree)

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """Read back :meth:`as_json`."""
        tree = msgspec.json.decode(text, type=dict[str, dict[str, _Row]])
        return cls.from_rows(
            (kind, name, row.spec, row.owner) for kind, named in tree.items() for name, row in named.items()
        )

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str, str | msgspec.Raw, str]]) -> State:
        """Read what is stored: kind, name, the spec's JSON and the owner of each resource.

        A spec of an earlier version gets the defaults of the fields that it lacks. A kind
        that only a later version knows is left out: nothing here could render it.

        Raises:
            Unavailable: a spec is of a shape that no version of this struct had.
        """
        resources = {}
        decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
        for kind, name, spec, owner in rows:
            struct = struct_of(kind, name)
            if struct is None:
                continue
            if (decoder := decoders.get(struct)) is None:
                decoder = decoders[struct] = msgspec.json.Decoder(struct)
            try:
                resources[kind, name] = Stored(decoder.decode(spec), owner)
            except msgspec.ValidationError as error:
                raise Unavailable(f"{kind}/{name}: this version cannot read what is stored of it: {error}") from None
        return cls(resources)

    def etag(self) -> str:
        """SHA-256 of the canonical state, in hex."""
        return self._etag

    @cached_property
    def _etag(self) -> str:
        return hashlib.sha256(self.as_json().encode()).hexdigest()


class Change(msgspec.Struct, frozen=True):
    """One resource that differs; ``before``/``after`` are its spec with its owner, None where there is none."""

    kind: str
    name: str
    action: Literal["create", "update", "delete"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def key(self) -> Key:
        """Its resource."""
        return self.kind, self.name


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

    A partial document leaves the rest alone. ``prune`` removes only resources whose owner is
    the document's, of every kind; settings are never pruned, since hosts depend on them.
    """
    desired = dict(state.resources)
    warnings: list[str] = []
    for key, value in _declared(document):
        held = state.resources.get(key)
        if held is not None and held.owner != document.owner:
            warnings.append(f"{key[0]}/{key[1]} was managed by {held.owner!r} and is now managed by {document.owner!r}")
        desired[key] = Stored(value, document.owner)
    for key in _removed(state.resources, document):
        desired.pop(key, None)
    changes = tuple(_changes(state.resources, desired))
    warnings += [
        f"{change.kind}/{change.name} has raw Caddy handlers: nothing of what they do is checked"
        for change in changes
        if raw_handlers(change)
    ]
    after = State(desired) if changes else state
    return Plan(changes, state.etag(), after, tuple(warnings))


def raw_handlers(change: Change) -> dict[str, Any] | None:
    """What of ``change`` is past every check: the raw handlers that it declares, None without."""
    after = change.after or {}
    if not after.get("raw_handlers"):
        return None
    return {name: after[name] for name in ("raw_handlers", "raw_unrestricted")}


def replacing(state: State, after: State) -> Plan:
    """What it takes to make ``state`` exactly ``after``: a rollback, an import."""
    changes = tuple(_changes(state.resources, after.resources))
    return Plan(changes, state.etag(), after if changes else state)


def _declared(document: Document) -> Iterator[tuple[Key, Any]]:
    for name in SETTINGS:
        value = getattr(document.settings, name)
        if value is not None:
            yield ("settings", name), value
    for kind in KINDS.values():
        for resource in kind.declared(document):
            if resource.state == "present":
                yield (kind.name, resource.name), resource


def _removed(stored: Mapping[Key, Stored], document: Document) -> Iterator[Key]:
    for kind in KINDS.values():
        for resource in kind.declared(document):
            if resource.state == "absent":
                yield (kind.name, resource.name)
    if document.prune:
        named = {(kind.name, resource.name) for kind in KINDS.values() for resource in kind.declared(document)}
        for key, held in stored.items():
            if key[0] in KINDS and held.owner == document.owner and key not in named:
                yield key


def _changes(before: Mapping[Key, Stored], after: Mapping[Key, Stored]) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None:
            if old != new:
                yield Change(*key, "update", _shown(old), _shown(new))
        elif new is not None:
            yield Change(*key, "create", None, _shown(new))
        else:
            yield Change(*key, "delete", _shown(old), None)


def _shown(stored: Stored | None) -> dict[str, Any] | None:
    return None if stored is None else {**stored.spec, "owner": stored.owner}
