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


def is_page_visit(sec_fetch_mode: str | None, sec_fetch_dest: str | None) -> bool:
    """Tell whether a browser opens this address as a page in a tab, not as an image, in a frame or by a script.

    Where the browser does not say (plain HTTP), it counts as one.
    """
    return sec_fetch_mode in {None, "navigate"} and sec_fetch_dest in {None, "document"}


def began_elsewhere(sec_fetch_site: str | None) -> bool:
    """Tell whether another site or a sibling host sent the browser here; one that was typed in was not sent."""
    return sec_fetch_site in {"cross-site", "same-site"}
