"""Decoding of where certificates come from."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from argos.edge import chains
from argos.edge.decode.values import secret
from argos.edge.fields import Check, Fields
from argos.edge.model import Certificate, DnsProvider, SecretName, Tls
from argos.edge.names import host_name_problem

MAX_PEM = 64 * 1024
MAX_RESOLVERS = 8

# No braces: Caddy's ACME issuer replaces placeholders in it, and would send a CA what {file.…} holds.
_EMAIL = re.compile(r"[^@\s\x00-\x1f{}]{1,64}@[A-Za-z0-9.-]{1,253}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_URL_TEXT = re.compile(r"[\x21-\x7a|~]{1,512}")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}")
_HOSTED_ZONE = re.compile(r"[A-Z0-9]{1,32}")


def decode_tls(fields: Fields) -> Tls:
    """A host's ``tls``, or the default of ``settings/edge``."""
    tls = Tls(
        fields.choice("mode", ("internal", "auto", "manual", "off"), "internal"),
        fields.text("email", "", limit=320, expected="an e-mail address or nothing", check=_email_problem),
        fields.choice("challenge", ("http", "tls-alpn", "dns"), "http") if fields.given("challenge") else None,
        fields.text("dns_provider", "", limit=63, expected="the name of a dns_provider", check=_name_or_none),
        fields.text("certificate", "", limit=63, expected="the name of a certificate", check=_name_or_none),
        fields.text("ca", "", limit=512, expected="the https:// URL of an ACME directory", check=_ca_problem),
        _root(fields),
        fields.choice("min_version", ("1.2", "1.3"), "1.2") if fields.given("min_version") else None,
    )
    if tls.mode == "auto" and tls.challenge == "dns" and not tls.dns_provider:
        fields.wrong("dns_provider", "is missing", "the name of a dns_provider, as challenge is dns")
    if tls.dns_provider and tls.challenge != "dns":
        problem = f"is given, and challenge is {tls.challenge or 'left out'}"
        fields.wrong("dns_provider", problem, "challenge: dns, or no dns_provider")
    if tls.mode == "manual" and not tls.certificate:
        fields.wrong("certificate", "is missing", "the name of a certificate, as mode is manual")
    if tls.certificate and tls.mode != "manual":
        fields.wrong("certificate", f"is given, and mode is {tls.mode}", "mode: manual, or no certificate")
    if tls.ca_root and not tls.ca:
        fields.wrong("ca_root", "is given without ca", "the ca that it belongs to")
    fields.finish()
    return tls


def decode_dns_provider(fields: Fields) -> DnsProvider:
    """One DNS provider; what is wrong with it goes to ``fields.errors``."""
    provider = DnsProvider(
        name=_own_name(fields, "cloudflare"),
        state=fields.choice("state", ("present", "absent"), "present"),
        type=fields.choice("type", ("cloudflare", "route53"), "cloudflare"),
        api_token=_secret(fields, "api_token"),
        access_key_id=fields.text(
            "access_key_id", "", limit=128, expected="an AWS access key's id", check=_fits(_ACCESS_KEY_ID)
        ),
        secret_access_key=_secret(fields, "secret_access_key"),
        region=fields.text("region", "", limit=32, expected="a region such as eu-central-1", check=_fits(_REGION)),
        hosted_zone_id=fields.text(
            "hosted_zone_id", "", limit=32, expected="a hosted zone's id", check=_fits(_HOSTED_ZONE)
        ),
        resolvers=fields.texts(
            "resolvers",
            limit=MAX_RESOLVERS,
            each=300,
            expected="an address with or without port, such as 1.1.1.1 or [2606:4700:4700::1111]:53",
            check=_resolver_problem,
        ),
        propagation_timeout=fields.integer("propagation_timeout", 120, low=5, high=3600),
    )
    if provider.state == "present":
        _check_provider(fields, provider)
    return provider


def _check_provider(fields: Fields, provider: DnsProvider) -> None:
    if not fields.given("type"):
        fields.wrong("type", "is missing", "one of cloudflare, route53")
    wanted = {"cloudflare": ("api_token",), "route53": ("access_key_id", "secret_access_key", "region")}
    allowed = {"cloudflare": ("api_token",), "route53": (*wanted["route53"], "hosted_zone_id")}
    for name in wanted[provider.type]:
        if not fields.given(name):
            fields.wrong(name, "is missing", f"given, as type is {provider.type}")
    for name in ("api_token", "access_key_id", "secret_access_key", "region", "hosted_zone_id"):
        if getattr(provider, name) and name not in allowed[provider.type]:
            fields.wrong(name, "is given", f"absent, as type is {provider.type}")


def decode_certificate(fields: Fields) -> Certificate:
    """One certificate of the operator's; what is wrong with it goes to ``fields.errors``."""
    name = _own_name(fields, "home-wildcard")
    state = fields.choice("state", ("present", "absent"), "present")
    text = fields.text("certificate", "", limit=MAX_PEM, expected="a chain in PEM, its own certificate first")
    key = _secret(fields, "key")
    if state == "present":
        if key is None:
            fields.wrong("key", "is missing", "the secret that holds the private key, as {secret: name}")
        if not fields.raw("certificate"):
            fields.wrong("certificate", "is missing", "a chain in PEM, its own certificate first")
        elif text:
            try:
                text = chains.read(text).pem
            except chains.BadChain as problem:
                fields.wrong("certificate", problem.problem, problem.expected)
    return Certificate(name, state, text, key)


def _own_name(fields: Fields, example: str) -> str:
    expected = f"1 to 63 of a-z, 0-9 and '-', such as {example!r}"
    return fields.text("name", limit=63, expected=expected, check=_fits(_NAME))


def _secret(fields: Fields, name: str) -> SecretName | None:
    return secret(fields.inner(name)) if fields.given(name) else None


def _root(fields: Fields) -> str:
    text = fields.text("ca_root", "", limit=MAX_PEM, expected="certificates in PEM")
    if not text:
        return ""
    try:
        return chains.read_roots(text)
    except chains.BadChain as problem:
        fields.wrong("ca_root", problem.problem, problem.expected)
        return ""


def _email_problem(text: str) -> str | None:
    return None if not text or _EMAIL.fullmatch(text) else f"is {text!r}"


def _name_or_none(text: str) -> str | None:
    return None if not text or _NAME.fullmatch(text) else f"is {text!r}"


def _fits(pattern: re.Pattern[str]) -> Check:
    return lambda text: None if not text or pattern.fullmatch(text) else f"is {text[:80]!r}"


def _ca_problem(text: str) -> str | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    # No braces, as in an e-mail: Caddy replaces placeholders in it.
    return None if usable and _URL_TEXT.fullmatch(text) else f"is {text[:80]!r}"


def _resolver_problem(text: str) -> str | None:
    host, port = text, ""
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            return f"is {text!r}"
        port = rest[1:]
    elif text.count(":") == 1:
        host, _unused, port = text.partition(":")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        return f"is {text!r}"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None if host_name_problem(host) is None else f"is {text!r}"
    return None
