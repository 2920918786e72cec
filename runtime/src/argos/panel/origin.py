"""Cross-site request forgery: who may send a form here.

A browser sends ``Origin`` with every POST, and ``Sec-Fetch-Site`` over TLS. A
sibling host under the parent domain is *same-site* but not *same-origin*, so
SameSite cookies alone do not stop it (AUT-3).
"""

from __future__ import annotations

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_own(method: str, origin: str | None, sec_fetch_site: str | None, own_origin: str) -> bool:
    """Tell whether a request that may change something comes from the panel's own pages.

    Neither header may say otherwise, ``Origin: null`` included, and one of them must
    be there: a page can forge neither. Over plain HTTP browsers send no
    ``Sec-Fetch-Site``, and ``Origin`` decides alone.
    """
    if method in SAFE_METHODS:
        return True
    if sec_fetch_site not in {None, "same-origin"}:
        return False
    if origin is not None:
        return origin.lower() == own_origin.lower()
    return sec_fetch_site is not None
