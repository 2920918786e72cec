"""What a visitor sees when the edge itself answers: what it is, what to do, and an id to quote."""

from __future__ import annotations

from typing import Any

HSTS = "max-age=31536000; includeSubDomains"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

# ING-7: the panel's own errors carry these as well, and Caddy answers some of them for it.
_HEADERS = {
    "Cache-Control": ["no-store"],
    "Content-Security-Policy": [POLICY],
    "Content-Type": ["text/html; charset=utf-8"],
    "Referrer-Policy": ["same-origin"],
    "X-Content-Type-Options": ["nosniff"],
    "X-Frame-Options": ["DENY"],
}

# Attributes, as a sheet's braces would be Caddy's placeholders.
_BODY = "font:1rem/1.55 system-ui,sans-serif;margin:0;padding:15vh 1rem 2rem;overflow-wrap:anywhere"
_MAIN = "max-width:32rem;margin:0 auto"

# What a person can do about it; what is not named here gets its name alone.
_REFUSED = (
    "It came from an address that is not let in, or looked like an attack. If neither is so, tell whoever runs this "
    "site the number below."
)
_SAID = {
    "403": ("This request was refused", _REFUSED),
    "404": ("There is nothing here", "Check the address, or go back."),
    "413": ("That is too large", "This site takes no upload of this size."),
    "429": ("Too many requests", "Wait a little, then try again."),
    "502": ("This site does not answer", "The application behind it is away. Try again in a minute."),
    "503": ("Not at the moment", "This site is busy, or being restarted. Try again in a minute."),
    "504": ("This site does not answer", "The application behind it takes too long. Try again in a minute."),
}


def page(title: str, body: str) -> str:
    """A small page of the edge's own, in light and dark. ``body`` is HTML; neither is escaped here."""
    return (
        '<!doctype html>\n<html lang="en" style="color-scheme:light dark"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head>\n"
        f'<body style="{_BODY}"><main style="{_MAIN}">{body}</main></body></html>\n'
    )


def routes(*, hsts: bool) -> dict[str, Any]:
    """The ``errors`` block of a server. Nothing of the cause is told: it stands in the log."""
    headers = dict(_HEADERS)
    if hsts:
        headers["Strict-Transport-Security"] = [HSTS]
    known = [
        {"match": [{"vars": {"{http.error.status_code}": [status]}}], **_answer(headers, heading, said)}
        for status, (heading, said) in _SAID.items()
    ]
    return {"routes": [*known, _answer(headers, "{http.error.status_code} {http.error.status_text}", "")]}


def _answer(headers: dict[str, list[str]], heading: str, said: str) -> dict[str, Any]:
    told = f"<p>{said}</p>" if said else ""
    number = '<p style="font-size:.875rem">{http.error.status_code}, request <code>{http.request.uuid}</code></p>'
    handler = {
        "handler": "static_response",
        "status_code": "{http.error.status_code}",
        "headers": headers,
        "body": page(heading, f"<h1>{heading}</h1>{told}{number}"),
    }
    return {"handle": [handler], "terminal": True}
