"""Find Argos's session tokens in a raw Cookie header.

A sibling under the parent domain can plant cookies of our name, so there may be
several; a browser sends them in an order that the sibling can influence.
"""

from __future__ import annotations

import re

TOKENS_TRIED = 4
"""How many distinct tokens one request may have looked up (architecture, "Cookies")."""

_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}").fullmatch  # 32 bytes, base64url without padding


def session_tokens(cookie_header: bytes, name: bytes) -> list[bytes]:
    """Return the distinct well-formed tokens of the cookie ``name``, in order, at most four.

    Splits at ``;`` whatever quotes stand around it, as browsers and Go do (RFC 6265 §5.4);
    names are compared exactly, case included. What cannot be a token is not counted.
    """
    if name not in cookie_header:
        return []
    wanted = name + b"="
    length = len(wanted)
    tokens: list[bytes] = []
    for pair in cookie_header.split(b";"):
        pair = pair.strip(b" \t")  # noqa: PLW2901 - OWS around a pair
        if not pair.startswith(wanted):
            continue
        value = pair[length:]
        if len(value) == 45 and value[:1] == b'"' == value[-1:]:  # RFC 6265 §4.1.1 allows DQUOTEs
            value = value[1:-1]
        if _TOKEN(value) is None or value in tokens:
            continue
        tokens.append(value)
        if len(tokens) == TOKENS_TRIED:
            break
    return tokens
