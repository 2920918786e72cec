"""Trying the connection to the provider, for the operator who declared it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from argos.errors import ArgosError
from argos.oidc.errors import ProviderRefused, ProviderUnavailable
from argos.oidc.exchange import Exchange, error_code, grant
from argos.oidc.provider import Metadata, Provider
from argos.steps import Step

if TYPE_CHECKING:
    from argos.edge.model import OidcSettings
    from argos.scrub import Scrubber


def try_connection(
    settings: OidcSettings | None, exchange: Exchange, scrubber: Scrubber, redirect_uri: str
) -> list[Step]:
    """Try the provider step by step, as far as it goes without a person; nothing is stored.

    Args:
        settings: ``settings/oidc``; None while undeclared. A provider that is switched off is tried all the same.
        exchange: asks the token endpoint.
        scrubber: what a step says goes through it.
        redirect_uri: our callback, as registered at the provider.
    """
    steps: list[Step] = []
    if settings is None or not settings.issuer:
        return [Step("settings", False, "settings/oidc names no issuer")]
    steps.append(Step("settings", True, "switched on" if settings.enabled else "switched off; tried all the same"))
    provider = Provider(settings.issuer)
    found: list[Metadata] = []

    def discovery() -> str:
        found.append(provider.metadata())
        return f"{settings.issuer} describes itself"

    def keys() -> str:
        usable = [key for key in provider.published_keys() if key.get("kty") in {"RSA", "EC", "OKP"}]
        if not usable:
            raise ProviderUnavailable("The provider publishes no key for RS256, PS256, ES256 or EdDSA")
        return f"{len(usable)} keys"

    def client() -> str:
        return _try_client(exchange, settings, provider, found[0], redirect_uri)

    for name, attempt in (("discovery", discovery), ("keys", keys), ("client", client)):
        step = _step(name, attempt, scrubber)
        steps.append(step)
        if not step.done:
            break
    return steps


def _step(name: str, attempt: Callable[[], str], scrubber: Scrubber) -> Step:
    try:
        return Step(name, True, attempt())
    except ArgosError as error:
        return Step(name, False, scrubber.scrub(error.message))


def _try_client(
    exchange: Exchange, settings: OidcSettings, provider: Provider, metadata: Metadata, redirect_uri: str
) -> str:
    """A code that cannot exist: ``invalid_grant`` says that id and secret were right (RFC 6749 §5.2)."""
    form = grant("argos-connection-test", redirect_uri, secrets.token_urlsafe(48))
    status, answer = exchange.ask(settings, provider, metadata, form)
    code = error_code(answer.get("error"))
    if code == "invalid_grant":
        return "the provider takes client id and secret"
    raise ProviderRefused(f"The token endpoint answered {status} {code or 'without an error code'}")
