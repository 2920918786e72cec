"""Taking Argos's cookies out of what upstreams receive (AUT-3); of what they send, Caddy's ``host_answer`` does.

A published application must neither learn a visitor's session nor plant one. The
patterns are RE2, and hold no braces, which Caddy would read as a placeholder.
"""

from __future__ import annotations

import re
from typing import Any

NAMED_ROUTE = "without_our_cookies"

# Names are matched without regard to case, with a leading "=" (a nameless cookie whose value is sent as
# "name=value") and with any blanks or control characters around, as browsers and lenient parsers differ there.
_NAME = r"[\x00-\x20=]*(?:__Host-|__Secure-)?argos_"

SENT = rf"(?i)(?:^|;){_NAME}[^;]*"
"""One of ours within a Cookie header, with the ``;`` before it."""

LEADING = r"^[\x00-\x20;]+"
"""What the removal of the first cookie leaves at the header's beginning."""


_SENT, _LEADING = re.compile(SENT), re.compile(LEADING)


def without_ours(header: str) -> str:
    """What of a Cookie header an upstream may have, for a proxy that is not ours; empty when nothing is left."""
    return _LEADING.sub("", _SENT.sub("", header))


def strip() -> dict[str, Any]:
    """The handler that sends a request through :func:`strip_request_route`."""
    return {"handler": "invoke", "name": NAMED_ROUTE}


def strip_request_route() -> dict[str, Any]:
    """Remove our cookies from the request, and the Cookie header when nothing else was in it."""
    return {
        "match": [{"header_regexp": {"Cookie": {"pattern": "(?i)argos_"}}}],
        "handle": [
            {
                "handler": "headers",
                "request": {
                    "replace": {"Cookie": [{"search_regexp": SENT}, {"search_regexp": LEADING}]},
                },
            },
            {
                "handler": "subroute",
                "routes": [
                    {
                        "match": [{"vars": {"{http.request.header.Cookie}": [""]}}],
                        "handle": [{"handler": "headers", "request": {"delete": ["Cookie"]}}],
                    }
                ],
            },
        ],
    }
