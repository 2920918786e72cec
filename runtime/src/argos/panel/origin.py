"""Cross-site request forgery: who may send a form here.

A browser sends ``Origin`` with every POST, and ``Sec-Fetch-Site`` over TLS. A
sibling host under the parent domain is *same-site* but not *same-origin*, so
SameSite cookies alone do not stop it (AUT-3).
"""

from __future__ import annotations

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_own(method: str, origin: str | None, sec_fetch_site: str | None, own_origin: str) -> bool:
    """Tell whether a request that may change something comes from the panel's own pages.

    An ``Origin`` that is present must be the panel's own, ``null`` included; one
    that is absent is made up for only by ``Sec-Fetch-Site: same-origin``, which a
    page cannot forge. Neither of them: refused.
    """
    if method in SAFE_METHODS:
        return True
    if origin is not None:
        return origin.lower() == own_origin.lower()
    return sec_fetch_site == "same-origin"
