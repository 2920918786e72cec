"""What resources of every kind are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

Presence = Literal["present", "absent"]


class SecretName(msgspec.Struct, frozen=True):
    """Stands where a value is a secret: the spec holds its name only."""

    secret: str


HeaderValue = str | SecretName


class Resource(Protocol):
    """A named thing that is declared. Its struct is frozen, and equal values mean the same."""

    @property
    def name(self) -> str:
        """Its identity among those of its kind."""

    @property
    def state(self) -> Presence:
        """Whether the declaration wants it; of the call, not of what is stored."""

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets that Caddy needs for it."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def spec_of(value: Any) -> dict[str, Any]:
    """Plain JSON values of a resource as callers see it: ``state`` is of the call, not of the resource."""
    spec: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    spec.pop("state", None)
    return spec


def secret_places(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Where ``value`` names a secret, as ``("request_headers.set.X-Token.secret", name)``."""
    if isinstance(value, SecretName):
        yield f"{path}.secret", value.secret
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secret_places(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from secret_places(member, f"{path}.{key}")
    elif isinstance(value, tuple | list):
        for index, member in enumerate(value):
            yield from secret_places(member, f"{path}[{index}]")
