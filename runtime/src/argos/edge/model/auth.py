"""Who may enter a host."""

from __future__ import annotations

from typing import Literal

import msgspec


class AuthPath(msgspec.Struct, frozen=True):
    """A path of a protected host with an access of its own; ``/a/*`` is all below ``/a/``."""

    path: str
    access: Literal["public"] = "public"


class Auth(msgspec.Struct, frozen=True):
    """Whether a host asks for a sign-in, and who may then enter: on one of the lists, or, all empty, anyone."""

    required: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    second_factor: Literal["optional", "required"] = "optional"
    paths: tuple[AuthPath, ...] = ()
