"""Values that resources of several kinds hold."""

from __future__ import annotations

from argos.edge.fields import Fields
from argos.edge.model import SecretName
from argos.edge.names import network_problem
from argos.secret_name import LONGEST, RULE, is_secret_name

MAX_NETWORKS = 256


def networks(fields: Fields, name: str, presets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list of addresses and networks; one of ``presets`` may stand for several."""
    named = "".join(f", or {preset!r}" for preset in presets)
    return fields.texts(
        name,
        limit=MAX_NETWORKS,
        each=64,
        expected=f"an address or a network such as 10.0.0.0/8{named}",
        check=lambda text: None if text in presets else network_problem(text),
    )


def secret(fields: Fields) -> SecretName:
    """A secret by its name: ``{secret: name}``."""
    name = fields.text("secret", limit=LONGEST, expected=f"the name of a secret: {RULE}", check=_secret_problem)
    fields.finish()
    return SecretName(name)


def _secret_problem(text: str) -> str | None:
    return None if is_secret_name(text) else "is not a secret's name"
