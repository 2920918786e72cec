"""From the code that the browser brings to verified claims: token endpoint, ID token, userinfo endpoint."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from argos.edge.model import OidcSettings
from argos.errors import NotFound
from argos.oidc import tokens as verification
from argos.oidc.errors import ProviderRefused, ProviderUnavailable, TokenRejected
from argos.oidc.pending import Begun
from argos.oidc.provider import Metadata, Provider

if TYPE_CHECKING:
    from argos.clock import Clock
    from argos.named_secrets import NamedSecrets
    from argos.scrub import Scrubber

_ERROR_CODE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")


class Exchange:
    """The client's side of the token endpoint."""

    def __init__(self, named_secrets: NamedSecrets, scrubber: Scrubber, clock: Clock) -> None:
        self._secrets = named_secrets
        self._scrubber = scrubber
        self._clock = clock

    def sign_in(
        self, settings: OidcSettings, provider: Provider, begun: Begun, answer: Mapping[str, str]
    ) -> tuple[dict[str, Any], str]:
        """Return the verified claims, userinfo's among them, and the ID token they came in.

        Args:
            settings: as declared now.
            provider: the settings' issuer.
            begun: the sign-in that the answer belongs to.
            answer: the parameters that the browser came back with.

        Raises:
            ProviderRefused, ProviderUnavailable, TokenRejected: no claims came of it.
        """
        metadata = provider.metadata()
        issuer = answer.get("iss")
        if issuer is not None and issuer != settings.issuer:
            raise TokenRejected("The answer is of another issuer (iss, RFC 9207)")
        if issuer is None and metadata.answers_with_iss:
            raise TokenRejected("The answer does not say its issuer, as the provider promises to (iss, RFC 9207)")
        if "error" in answer:
            code = error_code(answer["error"]) or "an error"
            raise ProviderRefused(f"The provider did not sign you in: {code}.")
        code = answer.get("code", "")
        if not 0 < len(code) <= 8192:
            raise ProviderRefused("The provider sent no code.")
        form = grant(code, begun.redirect_uri, begun.verifier)
        status, tokens = self.ask(settings, provider, metadata, form)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if status != 200 or not isinstance(id_token, str):
            raise ProviderRefused(
                f"The provider did not take the code ({status} {error_code(tokens.get('error')) or 'no ID token'})."
            )
        access_token = access_token if isinstance(access_token, str) else ""
        claims = verification.verify(
            id_token,
            lambda kid: provider.published_keys(wanted=kid),
            issuer=settings.issuer,
            client_id=settings.client_id,
            nonce=begun.nonce,
            now=self._clock.now(),
            access_token=access_token,
        )
        return self._with_userinfo(settings, provider, metadata, claims, access_token), id_token

    def _with_userinfo(
        self,
        settings: OidcSettings,
        provider: Provider,
        metadata: Metadata,
        claims: dict[str, Any],
        access_token: str,
    ) -> dict[str, Any]:
        """Add what the ID token left for the userinfo endpoint; the token's own claims win."""
        wanted = {"email", "preferred_username"}
        if settings.allowed_groups or settings.group_map:
            wanted.add(settings.groups_claim)
        if settings.admin_claim:
            wanted.add(settings.admin_claim)
        if wanted <= claims.keys() or not metadata.userinfo_endpoint or not access_token:
            return claims
        found = provider.fetcher.get(metadata.userinfo_endpoint, bearer=access_token)
        if found.get("sub") != claims["sub"]:
            raise TokenRejected("The userinfo endpoint speaks of another person (sub)")  # Core §5.3.2
        # Each would vouch for the other's address.
        if "email" in claims:
            found.pop("email_verified", None)
        elif "email" in found:
            claims = {name: value for name, value in claims.items() if name != "email_verified"}
        return {**found, **claims}

    def ask(
        self, settings: OidcSettings, provider: Provider, metadata: Metadata, form: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of the token endpoint to ``form``, asked in the client's name.

        Raises:
            ProviderUnavailable: the client's secret is not stored, or nobody answers.
        """
        if settings.client_secret is None:
            raise ProviderUnavailable("settings/oidc client_secret is missing")
        try:
            secret = self._secrets.reveal(settings.client_secret.secret)
        except NotFound as error:
            raise ProviderUnavailable(error.message) from None
        headers: dict[str, str] = {}
        if settings.token_auth == "client_secret_post":  # noqa: S105 - a method's name
            form = {**form, "client_id": settings.client_id, "client_secret": secret}
        else:
            # RFC 6749 §2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
            basic = base64.b64encode(pair.encode()).decode()
            self._scrubber.hold("provider's Basic credentials", basic)
            headers["Authorization"] = f"Basic {basic}"
        return provider.fetcher.post_form(metadata.token_endpoint, form, headers)


def grant(code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """The form that redeems ``code`` (RFC 6749 §4.1.3, RFC 7636 §4.5)."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }


def error_code(value: object) -> str:
    """An error code of RFC 6749, and nothing else that somebody might want shown on our page."""
    return value if isinstance(value, str) and 0 < len(value) <= 40 and _ERROR_CODE_LETTERS.issuperset(value) else ""
