"""OIDC-3: each class of forged or misused ID token, sent by a provider's real HTTP to a real process."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from dance import declare_provider, new_browser, sign_in, start
from hostile_provider import EC, RSA, HostileProvider, b64, jwk
from panel_runtime import Runtime

Forge = Callable[[dict[str, Any], dict[str, Any]], None]


def claim(**changes: Any) -> Forge:
    """Change claims; None takes one out."""

    def forge(_header: dict[str, Any], claims: dict[str, Any]) -> None:
        claims |= changes
        for name in [name for name, value in changes.items() if value is None]:
            del claims[name]

    return forge


def times(**offsets: int) -> Forge:
    """Set times relative to now, in seconds."""
    return lambda _header, claims: claims.update({name: int(time.time()) + by for name, by in offsets.items()})


def head(**changes: Any) -> Forge:
    """Change the header; ``_key`` signs with another key than the one named."""
    return lambda header, _claims: header.update(changes)


FORGED = {
    "alg none": head(alg="none"),
    "alg None in odd case": head(alg="nOnE", _key="rsa-1"),
    "no alg": lambda header, _claims: header.update(alg=["RS256"]),
    "HS256 with the public key": head(alg="HS256"),
    "a key id nobody publishes": head(kid="rsa-9"),
    "another key under a known id": head(_key="stranger"),
    "a known key of another type": head(kid="ec-1", _key="rsa-1"),
    "no key id where several fit": head(kid=None),
    "the key inside the token": head(kid=None, jwk=jwk("stranger"), _key="stranger"),
    "a key at an address of the token's": head(kid="rsa-9", jku="http://127.0.0.1:1/keys", _key="stranger"),
    "an extension that must be understood": head(crit=["b64"], b64=False),
    "another issuer": claim(iss="https://evil.example"),
    "the issuer with a slash": lambda _header, claims: claims.update(iss=claims["iss"] + "/"),
    "no issuer": claim(iss=None),
    "another audience": claim(aud="somebody-else"),
    "an audience that begins like ours": claim(aud="argos2"),
    "several audiences without azp": claim(aud=["argos", "other"]),
    "several audiences, given to another": claim(aud=["argos", "other"], azp="other"),
    "one audience, given to another": claim(azp="other"),
    "an audience of an odd type": claim(aud={"argos": True}),
    "no audience": claim(aud=None),
    "expired": times(exp=-70, iat=-400),
    "no expiry": claim(exp=None),
    "an expiry that is text": claim(exp="9999999999"),
    "an expiry that is true": claim(exp=True),
    "made in the future": times(iat=120),
    "no time of making": claim(iat=None),
    "not valid yet": times(nbf=120),
    "another nonce": claim(nonce="of another sign-in"),
    "no nonce": claim(nonce=None),
    "a nonce in a list": lambda _header, claims: claims.update(nonce=[claims["nonce"]]),
    "no subject": claim(sub=None),
    "an empty subject": claim(sub=""),
    "a subject that is a number": claim(sub=7),
    "a subject too long": claim(sub="x" * 256),
    "an at_hash of another access token": claim(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
}


@pytest.mark.threat("OIDC-3")
@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_token_opens_nothing(runtime: Runtime, provider: HostileProvider, kind: str) -> None:
    provider.published = ["rsa-1", "rsa-2", "ec-1", "ed-1"]
    provider.forge = FORGED[kind]
    browser = new_browser(runtime)
    answer = sign_in(browser, provider)
    assert answer.status_code == 400, f"{kind}: {answer.status_code}"
    assert "sign in with user name and password" in answer.text
    assert runtime.panel_cookie not in browser.cookies
    assert "eyJ" not in answer.text, "no token on the page"


def _other_claims(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "somebody-else"
    return f"{header}.{b64(json.dumps(claims).encode())}.{signature}"


def _without_signature(token: str) -> str:
    return token.rpartition(".")[0] + "."


TAMPERED: dict[str, Callable[[str], Any]] = {
    "claims exchanged under the signature": _other_claims,
    "signature taken off": _without_signature,
    "no JWT": lambda _token: "nonsense",
    "five parts": lambda token: token + ".a.b",
    "no text": lambda _token: {"a": 1},
    "header that is no JSON": lambda token: "AAAA" + token[token.index(".") :],
    "huge": lambda token: token + "A" * 200_000,
}


@pytest.mark.threat("OIDC-3")
@pytest.mark.parametrize("kind", TAMPERED)
def test_a_tampered_token_opens_nothing(runtime: Runtime, provider: HostileProvider, kind: str) -> None:
    provider.tamper = TAMPERED[kind]
    browser = new_browser(runtime)
    assert sign_in(browser, provider).status_code == 400
    assert runtime.panel_cookie not in browser.cookies


@pytest.mark.threat("OIDC-3")
def test_a_token_of_an_earlier_sign_in_is_refused_in_a_later_one(runtime: Runtime, provider: HostileProvider) -> None:
    issued: list[str] = []
    provider.tamper = lambda token: issued.append(token) or token
    assert sign_in(new_browser(runtime), provider).status_code == 200
    provider.tamper = lambda _token: issued[0]
    assert sign_in(new_browser(runtime), provider).status_code == 400


HONEST = {
    "PS256": head(alg="PS256"),
    "ES256": head(alg="ES256", kid="ec-1"),
    "EdDSA": head(alg="EdDSA", kid="ed-1"),
    "one audience in a list": claim(aud=["argos"]),
    "several audiences, given to us": claim(aud=["other", "argos"], azp="argos"),
    "a clock 50 s ahead": times(iat=50, nbf=50),
    "a clock 50 s behind": times(exp=-50, iat=-300),
}


@pytest.mark.threat("OIDC-3")
@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_token_passes(runtime: Runtime, provider: HostileProvider, kind: str) -> None:
    provider.forge = HONEST[kind]
    answer = sign_in(new_browser(runtime), provider)
    assert answer.status_code == 200, answer.text


@pytest.mark.threat("OIDC-3")
def test_the_issuer_beside_the_code_must_be_the_declared_one(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    assert browser.get(provider.callback(start(browser), iss="https://evil.example")).status_code == 400
    assert browser.get(provider.callback(start(browser), iss=provider.issuer)).status_code == 200


@pytest.mark.threat("OIDC-3")
def test_forged_key_ids_do_not_make_us_ask_for_keys_again_and_again(
    runtime: Runtime, provider: HostileProvider
) -> None:
    assert sign_in(new_browser(runtime), provider).status_code == 200
    provider.received.clear()
    for number in range(6):
        provider.forge = head(kid=f"made-up-{number}")
        assert sign_in(new_browser(runtime), provider).status_code == 400
    assert provider.count("/keys") <= 1


def test_a_parameter_that_comes_twice_is_refused(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    assert browser.get(provider.callback(start(browser)) + "&code=another").status_code == 400


def test_the_providers_own_words_never_stand_on_our_page(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    state = provider.sign_in(start(browser))["state"]
    said = "call+0900-123+now"
    answer = browser.get(f"/oidc/callback?error=<b>{said}</b>&error_description={said}&state={state}")
    assert answer.status_code == 400
    assert "0900" not in answer.text


@pytest.mark.threat("OIDC-4")
@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"email": ["carol@home.example"]},
        {"email": "carol@evil.example"},
        {"email": "carol@sub.home.example"},
        {"email": "carol@home.example.evil.example"},
        {"email": "carol@evil.example@home.example"},
        {"email": "carol@hоme.example"},  # noqa: RUF001 - a Cyrillic o
        {"email": "carol@home.example\n"},
    ],
    ids=str,
)
def test_an_e_mail_that_the_operator_did_not_mean_lets_nobody_in(
    runtime: Runtime, provider: HostileProvider, changes: dict[str, Any]
) -> None:
    provider.person |= {"sub": "odd", **changes}
    browser = new_browser(runtime)
    answer = sign_in(browser, provider)
    assert answer.status_code == 403, answer.text
    assert runtime.rows("SELECT * FROM oidc_identities WHERE subject = 'odd'") == []
    assert runtime.panel_cookie not in browser.cookies


def test_the_keys_of_this_suite_are_what_they_say() -> None:
    assert RSA["rsa-1"].public_key() != RSA["stranger"].public_key()
    assert EC.curve.name == "secp256r1"


def test_a_secret_in_the_body_of_the_request_works_too(runtime: Runtime, provider: HostileProvider) -> None:
    declare_provider(runtime, provider.issuer, token_auth="client_secret_post")
    assert sign_in(new_browser(runtime), provider).status_code == 200
