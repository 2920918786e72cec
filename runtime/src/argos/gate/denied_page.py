"""The page for a signed-in person who may not enter: who they are, and what they can do about it."""

from __future__ import annotations

from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Not allowed here</title>'
    "<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;"
    "max-width:32rem;padding:0 1rem;overflow-wrap:anywhere}}</style></head>\n"
    "<body><main><h1>Not allowed here</h1>\n<p>You are signed in as <strong>{username}</strong>. {reason}</p>\n"
    '{set_up}<p><a href="{link}">Switch account</a></p>\n</main></body></html>\n'
)
_SET_UP = '<p><a href="{profile}">Set up a second factor</a> in your profile, then open this page again.</p>\n'


def denied_page(username: str, reason: str, link: str, profile: str = "") -> str:
    """Return the page's HTML.

    Args:
        username: who is signed in.
        reason: why they may not enter.
        link: leads to the panel's ``/denied``, where the account can be switched.
        profile: leads to where a second factor is set up; empty when that would not help.
    """
    set_up = _SET_UP.format(profile=escape(profile)) if profile else ""
    return _PAGE.format(username=escape(username), reason=escape(reason), link=escape(link), set_up=set_up)
