"""The headers that every answer of the panel carries (ING-7)."""

from __future__ import annotations

import falcon

# No script at all; style and pictures from the panel's own /static/.
# 'self' as form-action also binds redirects after a form, hence /continue.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Referrer-Policy: with "no-referrer" browsers send "Origin: null" on our own forms,
# which could not be told from a foreign one; "same-origin" keeps tokens in URLs to ourselves.
ALWAYS = (
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
ON_ERRORS = (*ALWAYS, ("Cache-Control", "no-store"))


class SecurityHeaders:
    """Falcon middleware: sets them last, on errors too; only a static file may say how long it keeps."""

    def process_response(
        self, _req: falcon.Request, resp: falcon.Response, _resource: object, _req_succeeded: bool
    ) -> None:
        """Put the headers on ``resp``."""
        for name, value in ALWAYS:
            resp.set_header(name, value)
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")
