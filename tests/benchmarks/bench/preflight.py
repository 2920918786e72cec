"""Before a rate is taken: the cookie passes, its absence denies, and the identity reaches the upstream.

A gate that lets everyone pass would be the fastest of all.
"""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from bench.load import Target

USER = "bench"


class PreflightFailed(Exception):
    """What was to be measured does not do its work."""


def check_protected(
    name: str, target: Target, cookie_name: str = "__Secure-argos_session", identity: str = "x-auth-user"
) -> None:
    """Check a path that asks for a sign-in, whose session travels in the cookie ``cookie_name``.

    ``identity`` is the field, in lower case, that tells the upstream who passed.

    Raises:
        PreflightFailed: it does not guard, or the identity does not arrive.
    """
    status, seen = _ask(target, target.headers)
    if status != 200:
        raise PreflightFailed(f"{name}: a valid cookie got {status}, not 200")
    if seen.get(identity) != USER:
        raise PreflightFailed(f"{name}: the upstream saw {identity} {seen.get(identity)!r}, not {USER!r}")
    if "argos_session" in seen.get("cookie", ""):
        raise PreflightFailed(f"{name}: the upstream saw Argos's cookie")
    for what, cookie in (("no cookie", None), ("a wrong cookie", f"{cookie_name}={'A' * 43}")):
        sent = [(field, value) for field, value in target.headers if field != "Cookie"]
        status, _unused = _ask(target, [*sent, ("Cookie", cookie)] if cookie else sent)
        if status not in {302, 401}:
            raise PreflightFailed(f"{name}: {what} got {status}, not 302 or 401: it guards nothing")


def check_open(name: str, target: Target) -> None:
    """Check the path without sign-in: it answers, and nobody's identity arrives.

    Raises:
        PreflightFailed: it does not.
    """
    status, seen = _ask(target, target.headers)
    if status != 200 or "x-auth-user" in seen:
        raise PreflightFailed(f"{name}: got {status}, X-Auth-User {seen.get('x-auth-user')!r}")


def _ask(target: Target, headers: object) -> tuple[int, dict[str, str]]:
    address = urlsplit(target.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", "/echo?a=1&b=%2F", headers=dict(headers))  # type: ignore[call-overload]
        response = connection.getresponse()
        body = response.read().decode("latin-1")
    finally:
        connection.close()
    lines = [line.partition(": ") for line in body.split("\n")] if response.status == 200 else []
    return response.status, {name: value for name, _unused, value in lines}
