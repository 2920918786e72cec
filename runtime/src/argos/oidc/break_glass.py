"""The switch: the stored declaration of the provider, on or off, without asking the provider (OIDC-6)."""

from __future__ import annotations

import msgspec

from argos.edge.model import Document, Settings
from argos.edge.plan import State
from argos.errors import Conflict


def switched(state: State, *, enabled: bool) -> Document:
    """The declaration that turns the provider on or off and changes nothing else, its owner included.

    Raises:
        Conflict: none is declared, or not enough to be switched on.
    """
    held = state.oidc
    if held is None or (enabled and not (held.issuer and held.client_id and held.client_secret)):
        raise Conflict("settings/oidc: no provider is declared in full; declare it with argos.edge.oidc")
    owner = state.resources["settings", "oidc"].owner
    return Document(owner=owner, settings=Settings(oidc=msgspec.structs.replace(held, enabled=enabled)))
