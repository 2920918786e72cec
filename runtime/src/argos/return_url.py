"""Where a person may be sent after signing in (OIDC-5): one function, one corpus of cases in the tests.

An open redirect on a sign-in page is phishing with our own name on it, and urllib,
browsers and proxies read odd URLs differently. So this accepts a narrow form that
all of them read alike, and everything else becomes ``/``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

LENGTH_LIMIT = 8192  # characters
DECODINGS = 4  # rounds of percent-decoding looked through; what still changes then is refused

_ABSOLUTE = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?(?P<rest>[/?#].*)?\Z",
    re.ASCII | re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z", re.ASCII)
_FORBIDDEN_BYTES = frozenset(range(0x20)) | {0x7F, 0x5C}
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\\\\\u2028\u2029\ud800-\udfff]")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Visible ASCII as it came, '%' included; quote() encodes the rest.
_KEPT = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>`')


def safe_return_to(raw: str, panel_host: str, parent_domain: str | None, scheme: str) -> str:
    r"""Return ``raw`` if a person may be sent there, else ``/``.

    Allowed are a path on the panel (``/x``, never ``//x``), and an absolute URL of
    the panel's host or of a host in the parent domain's subtree, with the default
    port. Backslashes, control characters, their percent-encoded forms at any depth,
    userinfo and names that are not plain ASCII are refused. What is not visible
    ASCII comes back percent-encoded, and the query string is otherwise untouched.

    Args:
        raw: the parameter as decoded once by the form or query parser.
        panel_host: the panel's host name, with its port if that is not the default.
        parent_domain: the cookies' domain; None or empty: the panel's host only.
        scheme: the panel's. From ``https`` only ``https`` is reached, from ``http`` both.
    """
    if not raw or len(raw) > LENGTH_LIMIT or raw != raw.strip() or _hides_something(raw):
        return "/"
    if raw.startswith("/"):
        return quote(raw, safe=_KEPT) if _stays_on_host(raw) else "/"
    match = _ABSOLUTE.match(raw)
    if match is None:
        return "/"
    target_scheme, host = match["scheme"].lower(), match["host"].lower()
    if target_scheme != "https" and scheme == "https":
        return "/"
    port = match["port"] or ""
    if port == _DEFAULT_PORTS[target_scheme]:
        port = ""
    panel = panel_host.lower()
    within = not port and _is_within(host, (parent_domain or "").lower().strip("."))
    if host + port != panel and not within:
        return "/"
    rest = match["rest"] or "/"
    if not rest.startswith("/"):
        rest = "/" + rest
    return f"{target_scheme}://{host}{port}{quote(rest, safe=_KEPT)}"


def _hides_something(raw: str) -> bool:
    if _FORBIDDEN_CHARACTERS.search(raw):
        return True
    current = raw.encode()
    for _unused in range(DECODINGS):
        decoded = unquote_to_bytes(current)
        if decoded == current:
            return False
        if not _FORBIDDEN_BYTES.isdisjoint(decoded):
            return True
        current = decoded
    return unquote_to_bytes(current) != current


def _stays_on_host(raw: str) -> bool:
    # "/..//evil.example" becomes "//evil.example" once dot segments are gone (RFC 3986 §5.2.4); "%2e" is a dot too.
    path = re.split("[?#]", raw, maxsplit=1)[0]
    kept: list[str] = []
    for segment in path[1:].split("/"):
        dots = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    # One empty segment alone is "/" itself.
    return kept in ([], [""]) or kept[0] != ""


def _is_within(host: str, parent_domain: str) -> bool:
    if not parent_domain or not all(_LABEL.match(label) for label in host.split(".")):
        return False
    return host == parent_domain or host.endswith("." + parent_domain)
