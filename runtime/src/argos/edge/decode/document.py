"""A whole declaration, of every kind at once."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from argos.edge.decode.kinds import KINDS, Kind
from argos.edge.decode.remembered import REMEMBERED
from argos.edge.decode.settings import decode_settings
from argos.edge.fields import Fields, kind_of
from argos.edge.model import Document, Resource
from argos.errors import FieldError, Invalid

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,63}")


def decode_json(raw: bytes) -> Document:
    """Decode one declaration from JSON; a resource that came before, byte by byte, is remembered.

    Raises:
        Invalid: not JSON, or as :func:`decode_document`.
    """
    try:
        return decode_document(_by_resource(raw))
    except (ValueError, RecursionError):
        pass  # no object, or no JSON somewhere: read as a whole, it is said where
    try:
        plain: Any = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
        raise Invalid([FieldError("document", "", f"is not JSON: {error}", "a JSON object")]) from None
    return decode_document(plain)


def _by_resource(raw: bytes) -> dict[str, Any]:
    """The document with its named resources still in JSON, one by one."""
    lists = {kind.field for kind in KINDS.values()}
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {
        name: msgspec.json.decode(member, type=list[msgspec.Raw] if name in lists and _is_list(member) else Any)
        for name, member in members.items()
    }


def _is_list(json: msgspec.Raw) -> bool:
    return bytes(json).lstrip()[:1] == b"["


def decode_document(raw: object) -> Document:
    """Decode one declaration. Of the lists of resources each member is plain values, or JSON still.

    Raises:
        Invalid: with every error found, each naming its resource and field.
        msgspec.DecodeError: what is JSON still is none.
    """
    errors: list[FieldError] = []
    top = Fields({} if raw is None else raw, "document", "", errors)
    owner = top.text("owner", "", limit=64, expected="a label such as 'ansible'", check=_owner_problem)
    prune = top.boolean("prune", False)
    if prune and not owner:
        top.wrong("prune", "is true without an owner", "an owner, since prune removes only what that owner manages")
    settings = decode_settings(top.raw("settings"), errors)
    declared: dict[str, Any] = {kind.field: _resources(top, kind) for kind in KINDS.values()}
    top.finish()
    if errors:
        raise Invalid(errors)
    return Document(owner, prune, settings, **declared)


def _resources(top: Fields, kind: Kind) -> tuple[Resource, ...]:
    found = tuple(_resource(kind, place, member, top) for place, member in top.items(kind.field, limit=kind.limit))
    for name, count in Counter(resource.name for resource in found if resource.name).items():
        if count > 1:
            top.errors.append(
                FieldError(f"{kind.name}/{name}", "name", f"is declared {count} times", "one declaration")
            )
    return found


def _resource(kind: Kind, place: str, raw: object, top: Fields) -> Resource:
    # PERF: most of a document is what it was the last time, and reading one of 1000 hosts by fields costs 50 us.
    if not isinstance(raw, msgspec.Raw):
        return _read(kind, place, raw, top)
    json = bytes(raw)
    known = REMEMBERED.find(kind.name, json)
    if known is not None:
        return known
    resource = _read(kind, place, msgspec.json.decode(json), top)
    if not top.errors:
        REMEMBERED.keep(kind.name, json, resource)
    return resource


def _read(kind: Kind, place: str, raw: object, top: Fields) -> Resource:
    if not isinstance(raw, dict):
        top.wrong(place, f"is {kind_of(raw)}", f"a {kind.words} object")
        nameless: Resource = kind.struct(name="")
        return nameless
    name = raw.get("name")
    fields = Fields(raw, f"{kind.name}/{name[:260]}" if isinstance(name, str) else place, "", top.errors)
    resource = kind.decode(fields)
    fields.finish()
    return resource


def _owner_problem(text: str) -> str | None:
    return None if not text or _OWNER.fullmatch(text) else f"is {text!r}"
