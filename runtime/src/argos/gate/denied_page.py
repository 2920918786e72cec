"""The page for a signed-in person who may not enter: who they are, and the way to be somebody else."""

from __future__ import annotations

from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Not allowed here</title>'
    "<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;"
    "max-width:32rem;padding:0 1rem;overflow-wrap:anywhere}}</style></head>\n"
    "<body><main><h1>Not allowed here</h1>\n<p>You are signed in as <strong>{username}</strong>. {reason}</p>\n"
    '<p><a href="{link}">Switch account</a></p>\n</main></body></html>\n'
)


def denied_page(username: str, reason: str, link: str) -> str:
    """Return the page's HTML. ``link`` leads to the panel's ``/denied``, where the account can be switched."""
    return _PAGE.format(username=escape(username), reason=escape(reason), link=escape(link))
