"""What a visitor sees when the edge itself answers: the status, and an id to quote."""

from __future__ import annotations

from typing import Any

HSTS = "max-age=31536000; includeSubDomains"

# ING-7: the panel's own errors carry these as well, and Caddy answers some of them for it.
_HEADERS = {
    "Cache-Control": ["no-store"],
    "Content-Security-Policy": ["default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"],
    "Content-Type": ["text/html; charset=utf-8"],
    "Referrer-Policy": ["same-origin"],
    "X-Content-Type-Options": ["nosniff"],
    "X-Frame-Options": ["DENY"],
}

_PAGE = (
    '<!doctype html><html lang="en" style="color-scheme:light dark"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>{http.error.status_code} {http.error.status_text}</title>"
    '<body style="font:16px system-ui;margin:15vh auto;max-width:32rem;padding:0 1rem">'
    "<h1>{http.error.status_code} {http.error.status_text}</h1>"
    "<p>Request <code>{http.request.uuid}</code></p></body></html>\n"
)


def routes(*, hsts: bool) -> dict[str, Any]:
    """The ``errors`` block of a server. Nothing of the cause is told: it stands in the log."""
    headers = dict(_HEADERS)
    if hsts:
        headers["Strict-Transport-Security"] = [HSTS]
    page = {
        "handler": "static_response",
        "status_code": "{http.error.status_code}",
        "headers": headers,
        "body": _PAGE,
    }
    return {"routes": [{"handle": [page]}]}
