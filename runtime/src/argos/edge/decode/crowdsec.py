"""Decoding of ``settings/crowdsec``."""

from __future__ import annotations

import re
from collections import Counter

from argos.edge.fields import Fields
from argos.edge.model import CrowdsecSettings, Exempt
from argos.edge.names import is_loopback, network_problem, parse_address
from argos.errors import FieldError

MAX_WHITELIST = 1000


def decode_crowdsec(raw: object, errors: list[FieldError]) -> CrowdsecSettings:
    """The singleton; what is wrong with it goes to ``errors``."""
    fields = Fields(raw, "settings/crowdsec", "", errors)
    enabled = fields.boolean("enabled", True)
    url = fields.text(
        "lapi_url",
        "",
        limit=512,
        expected="https://host:port of LAPI, or http:// where it is on this machine",
        check=_lapi_problem,
    )
    whitelist = tuple(_exempt(fields.nested(*item)) for item in fields.items("whitelist", limit=MAX_WHITELIST))
    for value, count in Counter(exempt.value for exempt in whitelist if exempt.value).items():
        if count > 1:
            fields.wrong("whitelist", f"names {value} {count} times", "each address or range once")
    fields.finish()
    return CrowdsecSettings(enabled, url.rstrip("/"), whitelist)


def _exempt(fields: Fields) -> Exempt:
    exempt = Exempt(
        fields.text(
            "value", limit=64, expected="an address or a network such as 203.0.113.0/24", check=_exempt_problem
        ),
        fields.text("reason", "", limit=200, expected="one printable line", check=_line_problem),
    )
    fields.finish()
    return exempt


def _lapi_problem(text: str) -> str | None:
    if not text:
        return None
    match = re.fullmatch(r"(https?)://(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):(\d{1,5})/?", text)
    if match is None or not 0 < int(match[3]) < 65536:
        return f"is {text[:80]!r}"
    host = match[2].strip("[]")
    # The bouncer's key and the machine's password go there.
    if match[1] == "http" and not is_loopback(host.lower(), parse_address(host)):
        return f"is {text[:80]!r}, which would carry credentials over the network in clear"
    return None


def _exempt_problem(text: str) -> str | None:
    if "%" in text:
        return f"is {text!r}, which has a zone"
    problem = network_problem(text)
    if problem is None and text.endswith("/0"):
        return f"is {text!r}, which exempts everybody"
    return problem


def _line_problem(text: str) -> str | None:
    return None if text.isprintable() else "is not one printable line"
