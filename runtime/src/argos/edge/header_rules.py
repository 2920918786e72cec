"""Which header fields an operator may set or remove.

Identity headers are the edge's alone (FWD-1), and hop-by-hop fields are between two
connections: setting them would let a declaration undo either.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = ("x-auth-", "argos-", "remote-")
_EDGE_FACTS = frozenset(
    {
        "forwarded",
        "strict-transport-security",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
# RFC 9110 §7.6.1, with the framing fields that only the transport may write.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def header_name_problem(name: str) -> str | None:
    """What is wrong with setting or removing the field ``name``, or None."""
    if not _TOKEN.fullmatch(name):
        return "is not a header name"
    folded = name.lower().replace("_", "-")  # CGI folding: an upstream may read X_Auth_User as X-Auth-User
    if folded.startswith(_OURS) or folded in _EDGE_FACTS:
        return "is set by the edge alone"
    if folded in _HOP_BY_HOP:
        return "is a hop-by-hop header"
    if folded in ("cookie", "set-cookie"):
        return "carries cookies, and Argos's own are among them"
    if "*" in name:
        return "has a '*', which would reach other headers"
    return None


# Caddy drops the "-" spelling of a kept name for every host: never one that browsers or applications live by.
_INDISPENSABLE = re.compile(
    r"(accept|access|cache|content|cf|cross|early|if|last|max|origin|priority|proxy|sec|upgrade|user|www|x-csrf|"
    r"x-request|x-requested|x-http)-"
)


def kept_name_problem(name: str) -> str | None:
    """What is wrong with letting the field ``name`` through, which has a ``_`` or a ``.``, or None (FWD-1)."""
    if "_" not in name and "." not in name:
        return "has neither '_' nor '.', and needs no permission"
    if problem := header_name_problem(name.replace(".", "_")):
        return problem
    folded = name.lower().replace("_", "-").replace(".", "-")
    if _INDISPENSABLE.match(folded):
        return f"would take {folded!r} from every host"
    return None


def header_value_problem(value: str) -> str | None:
    """What is wrong with a field's value, or None (RFC 9110 §5.5)."""
    if _CONTROL.search(value):
        return "holds a control character"
    return None
