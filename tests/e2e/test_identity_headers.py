"""Identity headers are the edge's alone: no spelling of a client's own reaches an upstream."""

from __future__ import annotations

import itertools

import pytest
from lab import http3
from lab.admin_api import Declaration
from lab.echo import IDENTITY, Received
from lab.guest import Guest
from lab.namespace import PublicNetwork
from lab.people import Person
from lab.visitor import Visitor, status_of

FORGED = "mallory-the-forged"
SPELLINGS = (
    "X-Auth-User",
    "x-auth-user",
    "X-AUTH-USER",
    "X_Auth_User",
    "X-Auth_User",
    "x_auth_user",
    "X.Auth.User",
    "X-Auth-Email",
    "X-Auth-Groups",
    "Remote-User",
    "Remote_User",
    "Argos-Host-Id",
    "Argos-Client-Ip",
    "X-Auth-User ",
)


def forgeries() -> dict[str, str]:
    """Return header blocks, each line ended, that try to name their sender."""
    single = {name: f"{name}: {FORGED}\r\n" for name in SPELLINGS}
    doubled = f"X-Auth-User: {FORGED}\r\nX-Auth-User: {FORGED}-2\r\nx-auth-user: {FORGED}-3\r\n"
    named = f"Connection: close, X-Auth-User, X-Auth-Email, Argos-Host-Id\r\nX-Auth-User: {FORGED}\r\n"
    folded = f"X-Junk: a\r\n X-Auth-User: {FORGED}\r\n"
    everything = "".join(single[name] for name in SPELLINGS[:-1])
    return {**single, "doubled": doubled, "named in Connection": named, "folded": folded, "all": everything}


def ask(visitor: Visitor, host: str, block: str) -> bytes:
    """Send one raw request with these header lines, with the visitor's cookie when it has one."""
    cookie = visitor.http.cookies.get("__Secure-argos_session")
    lines = f"GET /identity HTTP/1.1\r\nHost: {host}\r\n{block}"
    if cookie:
        lines += f"Cookie: __Secure-argos_session={cookie}\r\n"
    if "Connection:" not in block:
        lines += "Connection: close\r\n"
    return visitor.raw(host, f"{lines}\r\n".encode())


def received_by_upstream(answer: bytes) -> Received | None:
    """Return what the upstream saw, or None when the edge refused the request."""
    if status_of(answer) != 200:
        assert status_of(answer) in (0, 400, 401, 403), answer[:300]
        return None
    body = answer.split(b"\r\n\r\n", 1)[1]
    return Received.of(body[body.index(b"{") : body.rindex(b"}") + 1])


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize("label", ["e2e-open", "e2e-block"])
@pytest.mark.parametrize("session", ["without a session", "signed in"])
def test_no_forged_identity_reaches_a_public_host(
    request: pytest.FixtureRequest, declaration: Declaration, label: str, session: str
) -> None:
    visitor: Visitor = request.getfixturevalue("signed_in" if session == "signed in" else "visitor")
    delivered = 0
    for name, block in forgeries().items():
        received = received_by_upstream(ask(visitor, declaration.name(label), block))
        if received is None:
            continue
        delivered += 1
        assert not any(FORGED in value for _unused, value in received.identity()), (name, received.identity())
        assert not any(key.startswith("x-auth") for key, _unused in received.identity()), (name, received.identity())
    assert delivered >= len(SPELLINGS) // 2, "most spellings must be stripped, not refused"


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize("label", ["e2e-guarded", "e2e-guarded-waf"])
def test_a_signed_in_persons_identity_is_the_edges_own(
    signed_in: Visitor, alice: Person, declaration: Declaration, label: str
) -> None:
    delivered = 0
    for name, block in forgeries().items():
        received = received_by_upstream(ask(signed_in, declaration.name(label), block))
        if received is None:
            continue
        delivered += 1
        assert received.one("x-auth-user") == alice.username, name
        assert received.one("x-auth-email") == f"{alice.username}@e2e.example", name
        for header in IDENTITY:
            received.one(header)
        assert not any(FORGED in value for _unused, value in received.identity()), (name, received.identity())
    assert delivered >= len(SPELLINGS) // 2


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("FWD-3")
def test_a_forged_identity_opens_no_protected_host(visitor: Visitor, declaration: Declaration) -> None:
    for name, block in forgeries().items():
        assert status_of(ask(visitor, declaration.name("e2e-guarded"), block)) in (0, 302, 400, 401, 403), name


@pytest.mark.threat("FWD-1")
def test_forged_identities_over_http2_and_http3_are_stripped_too(
    new_visitor, guest: Guest, network: PublicNetwork, declaration: Declaration
) -> None:
    host = declaration.name("e2e-open")
    for name in ("x-auth-user", "x_auth_user", "x-auth-name", "remote-user", "argos-client-ip"):
        over2 = new_visitor(http2=True).get(f"https://{host}/", headers={name: FORGED})
        over3 = http3.ask(guest, network, host, "/", headers={name: FORGED})
        for received in (Received.of(over2.content), Received.of(over3.body)):
            assert not any(FORGED in value for _unused, value in received.identity()), (name, received.identity())


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize(
    "cookie",
    [
        "__Secure-argos_session=",
        "__Secure-argos_session=AAAA",
        "__Secure-argos_session=" + "A" * 43,
        "__Secure-argos_session=" + "A" * 6000,
        "__Secure-argos_session=%00%ff; __Secure-argos_session=;;;=",
        '__Secure-argos_session="; x="',
        "; ".join(f"__Secure-argos_session={'B' * 43}" for _unused in range(60)),
        "\x01\x02=__Secure-argos_session",
    ],
)
def test_a_malformed_cookie_denies(visitor: Visitor, declaration: Declaration, cookie: str) -> None:
    host = declaration.name("e2e-guarded")
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    assert status_of(visitor.raw(host, request.encode("latin-1"))) in (400, 401, 403, 431)


@pytest.mark.threat("AUT-3")
def test_argos_cookies_neither_reach_an_upstream_nor_come_from_one(
    signed_in: Visitor, visitor: Visitor, declaration: Declaration
) -> None:
    for label in ("e2e-open", "e2e-guarded"):
        host = f"https://{declaration.name(label)}"
        received = Received.of(signed_in.get(f"{host}/", headers={"X-Also": "1"}).content)
        assert "argos" not in " ".join(received.all("cookie")).lower()
    mixed = signed_in.http.cookies.get("__Secure-argos_session")
    sent = {"Cookie": f"theme=dark; __Secure-argos_session={mixed}; __Host-argos_panel=x; lang=de"}
    received = Received.of(signed_in.get(f"https://{declaration.name('e2e-open')}/", headers=sent).content)
    pairs = {pair.strip() for value in received.all("cookie") for pair in value.split(";")}
    assert pairs == {"theme=dark", "lang=de"}


@pytest.mark.threat("AUT-3")
@pytest.mark.threat("DEP-1")
def test_an_upstream_cannot_plant_a_cookie_of_ours(visitor: Visitor, declaration: Declaration) -> None:
    parent = declaration.parent
    planted = [
        f"__Secure-argos_session=evil; Domain={parent}; Path=/; Secure",
        f"__secure-ARGOS_session=evil; Domain=.{parent}; Path=/; Secure",
        "__Host-argos_panel=evil; Path=/; Secure",
        "argos_session=evil; Path=/",
        " argos_panel =evil; Path=/",
    ]
    sent = [*planted, "theme=dark; Path=/", "other_argos=fine; Path=/"]
    for label in ("e2e-open", "e2e-block"):
        answer = visitor.get(f"https://{declaration.name(label)}/set-cookie", params={"c": sent})
        passed = answer.headers.get_list("set-cookie")
        assert "theme=dark; Path=/" in passed, "an application's own cookies must pass"
        assert not any("evil" in line for line in passed), passed


@pytest.mark.threat("FWD-1")
def test_what_a_redirect_or_a_401_goes_to(visitor: Visitor, declaration: Declaration) -> None:
    """A browser's navigation is sent to sign in; whatever else asks is told 401, never a page."""
    host = f"https://{declaration.name('e2e-guarded')}/deep?a=1&b=%2F"
    assert visitor.navigate(host).status_code == 302
    assert visitor.navigate(host).headers["Location"].startswith(f"https://{declaration.panel}/login?rd=https%3A%2F%2F")
    scripts = (
        {"Accept": "application/json"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "text/html"},
        {"X-Requested-With": "XMLHttpRequest", "Accept": "text/html"},
    )
    for headers, method in itertools.product(scripts, ("GET", "POST")):
        answer = visitor.http.request(method, host, headers=headers)
        assert answer.status_code == 401, (headers, method)
        assert answer.headers["Cache-Control"] == "no-store"
