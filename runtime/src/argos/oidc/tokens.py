"""Verifying an ID token (OpenID Connect Core §3.1.3.7, RFC 7515, RFC 8725): signature first, then every claim."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from argos.oidc.errors import TokenRejected

if TYPE_CHECKING:
    from collections.abc import Callable

SKEW = 60  # seconds
TOKEN_LIMIT = 64 * 1024  # characters
SUBJECT_LIMIT = 255  # OpenID Connect Core §2
MIN_RSA_BITS = 2048  # RFC 7518 §3.3

# Asymmetric ones alone: with HS256 the public key would be the secret, and "none" proves nothing (RFC 8725 §2.1).
KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
_CURVES = {"ES256": "P-256", "EdDSA": "Ed25519"}


def verify(
    token: str,
    keys_for: Callable[[str | None], list[dict[str, Any]]],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: int,
    access_token: str = "",
) -> dict[str, Any]:
    """Return the claims of an ID token that was made by ``issuer``, for us, for this very sign-in, and lives.

    Args:
        token: as it came from the token endpoint.
        keys_for: gives the provider's JWKs for a key id.
        issuer: the declared one.
        client_id: ours.
        nonce: of the pending sign-in.
        now: seconds since the epoch.
        access_token: what came with it; checked when the token holds ``at_hash``.

    Raises:
        TokenRejected: with the reason.
    """
    header = _header(token)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise TokenRejected("The ID token is not signed with RS256, PS256, ES256 or EdDSA")
    claims = _verified(token, _key(header, algorithm, keys_for), algorithm)
    check_claims(claims, issuer=issuer, client_id=client_id, nonce=nonce, now=now)
    if access_token and "at_hash" in claims:
        digest = (hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256)(access_token.encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
        if not _same(claims["at_hash"], half):
            raise TokenRejected("The ID token's at_hash is of another access token")
    return claims


def auth_time(claims: Mapping[str, Any], now: int) -> int | None:
    """When the person last gave the provider their credentials (Core §2), None where it does not say.

    Raises:
        TokenRejected: it is no time, or in the future.
    """
    if claims.get("auth_time") is None:
        return None
    moment = _time(claims, "auth_time")
    if not 0 <= moment <= now + SKEW:
        raise TokenRejected("The ID token says that you signed in in the future (auth_time); compare the clocks")
    return min(int(moment), now)


def check_claims(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: int) -> None:
    """Check every claim of a token whose signature holds.

    Raises:
        TokenRejected: with the reason.
    """
    if claims.get("iss") != issuer:
        raise TokenRejected("The ID token is of another issuer")
    _check_audience(claims, client_id)
    _check_times(claims, now)
    if not _same(claims.get("nonce"), nonce):
        raise TokenRejected("The ID token was made for another sign-in (nonce)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LIMIT or not subject.isprintable():
        raise TokenRejected("The ID token's sub is not 1 to 255 printable characters")


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenRejected("The ID token is for another client (aud)")
    if "azp" in claims and claims["azp"] != client_id:
        raise TokenRejected("The ID token was given to another client (azp)")
    if len(audiences) > 1 and "azp" not in claims:
        raise TokenRejected("The ID token is for several clients and does not say to which it was given (azp)")


def _check_times(claims: Mapping[str, Any], now: int) -> None:
    if _time(claims, "exp") <= now - SKEW:
        raise TokenRejected("The ID token has expired (exp)")
    if _time(claims, "iat") > now + SKEW:
        raise TokenRejected("The ID token was made in the future (iat); compare the clocks")
    if "nbf" in claims and _time(claims, "nbf") > now + SKEW:
        raise TokenRejected("The ID token is not valid yet (nbf); compare the clocks")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRejected(f"The ID token has no time {name}")
    return value


def _same(given: object, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _header(token: str) -> dict[str, Any]:
    if not isinstance(token, str) or len(token) > TOKEN_LIMIT or token.count(".") != 2:
        raise TokenRejected("The ID token is not a signed JWT")
    part = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise TokenRejected("The ID token's header is not JSON")
    return header


def _key(header: Mapping[str, Any], algorithm: str, keys_for: Callable[[str | None], list[dict[str, Any]]]) -> Any:
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise TokenRejected("The ID token's key id is no text (kid)")
    fitting = [
        key
        for key in keys_for(kid)
        if key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) in {algorithm, "Ed25519" if algorithm == "EdDSA" else algorithm}
        and key.get("crv") == _CURVES.get(algorithm)
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        # The keys named inside the token itself (jwk, jku, x5u) are never looked at.
        raise TokenRejected("The ID token is signed with a key that the provider does not publish (kid)")
    return _imported(fitting[0])


def _imported(raw: Mapping[str, Any]) -> Any:
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    public = {name: raw[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in raw}
    kinds: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    try:
        key = kinds[public["kty"]].import_key(public)
        weak = public["kty"] == "RSA" and key.public_key.key_size < MIN_RSA_BITS
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise TokenRejected("The provider's key cannot be read") from None
    if weak:
        raise TokenRejected(f"The provider's key has fewer than {MIN_RSA_BITS} bits")
    return key


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    import warnings

    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RFC 9864 renames EdDSA; providers have not
            verified = jws.deserialize_compact(token, key, algorithms=[algorithm])
        claims = json.loads(verified.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise TokenRejected("The ID token's signature does not hold") from None
    if not isinstance(claims, dict):
        raise TokenRejected("The ID token holds no claims")
    return claims
