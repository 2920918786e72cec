"""The key under which a client is counted: its IPv4 address, or the /64 of its IPv6 address.

A client may change within its /64 at will, so a limit on single IPv6 addresses is none.
Caddy's own ``{http.request.remote.host/64}`` knows only the peer, which may be a trusted
proxy; the client's address stands in ``{http.vars.client_ip}``, as Go writes it: RFC 5952,
so that ``::`` stands for the leftmost longest run of two or more zero groups.
"""

from __future__ import annotations

PLACEHOLDER = "{argos.client_network}"

_H = "[0-9a-f]+"

# First match wins. In a compressed address, each group that "::" can hide among the first four is written out as 0.
MAPPINGS: tuple[tuple[str, str], ...] = (
    (r"^(?:.*:)?([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$", "${1}"),
    (f"^({_H}:{_H}:{_H}:{_H}):", "${1}::/64"),
    (f"^({_H}:{_H}:{_H})::", "${1}:0::/64"),
    (f"^({_H}:{_H})::", "${1}:0:0::/64"),
    (f"^({_H})::({_H}):{_H}:{_H}:{_H}:{_H}(?:%.*)?$", "${1}:0:0:${2}::/64"),
    (f"^({_H})::", "${1}:0:0:0::/64"),
    (f"^::({_H}):({_H}):{_H}:{_H}:{_H}:{_H}(?:%.*)?$", "0:0:${1}:${2}::/64"),
    (f"^::({_H}):{_H}:{_H}:{_H}:{_H}(?:%.*)?$", "0:0:0:${1}::/64"),
    ("^::", "0:0:0:0::/64"),
)


def handler() -> dict[str, object]:
    """The handler that defines :data:`PLACEHOLDER`; it works only when the placeholder is used."""
    return {
        "handler": "map",
        "source": "{http.vars.client_ip}",
        "destinations": [PLACEHOLDER],
        "mappings": [{"input_regexp": pattern, "outputs": [key]} for pattern, key in MAPPINGS],
        "defaults": ["{http.vars.client_ip}"],
    }
