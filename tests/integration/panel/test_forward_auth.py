"""``/api/auth/forward`` over HTTP: believed from declared proxies only, and then exactly the gate's decision."""

from __future__ import annotations

import pytest
from panel_runtime import EDGE, GUARDED, Browser, Runtime

PROXY = EDGE["auth_proxies"][0].removesuffix("/32")
NAVIGATION = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


def asked(runtime: Runtime, **more: str | None) -> dict[str, str | None]:
    """What a proxy sends; behind Caddy, what Caddy makes of it for a declared one."""
    prefix = "Argos-Forwarded" if runtime.mode == "behind_caddy" else "X-Forwarded"
    facts = {"Method": "GET", "Proto": "https", "Host": GUARDED, "Uri": "/page?a=1&b=%2F"}
    return {f"{prefix}-{name}": value for name, value in facts.items()} | more


def proxy(runtime: Runtime) -> Browser:
    return Browser(runtime, PROXY if runtime.mode == "lan" else "203.0.113.60")


@pytest.mark.threat("LOG-3")
@pytest.mark.threat("FWD-3")
def test_a_declared_proxy_gets_the_gates_decision(runtime: Runtime) -> None:
    person, caller = Browser(runtime, "127.0.0.30"), proxy(runtime)
    person.sign_in()
    edge, panel = person.cookies[runtime.edge_cookie], person.cookies[runtime.panel_cookie]
    name, url = runtime.edge_cookie, "/api/auth/forward"

    passed = caller.send("GET", url, headers=asked(runtime, Cookie=f"other=1; {name}={edge}"))
    assert passed.status_code == 200
    assert passed.headers["X-Auth-User"] == "alice"
    assert {"X-Auth-Email", "X-Auth-Name", "X-Auth-Provider"} <= {key.title() for key in passed.headers}
    assert "set-cookie" not in passed.headers

    assert caller.send("GET", url, headers=asked(runtime)).status_code == 401
    sent = caller.send("GET", url, headers=asked(runtime, **NAVIGATION))
    assert sent.status_code == 302
    assert sent.headers["Location"] == (f"{runtime.origin}/login?rd=https%3A%2F%2F{GUARDED}%2Fpage%3Fa%3D1%26b%3D%252F")
    for wrong in (f"{name}={panel}", f"{runtime.panel_cookie}={panel}", f"{runtime.panel_cookie}={edge}"):
        assert caller.send("GET", url, headers=asked(runtime, Cookie=wrong)).status_code == 401, wrong

    prefix = "Argos-Forwarded" if runtime.mode == "behind_caddy" else "X-Forwarded"
    unknown = asked(runtime, Cookie=f"{name}={edge}") | {f"{prefix}-Host": "evil.example"}
    assert caller.send("GET", url, headers=unknown).status_code == 403

    person.post("/logout")
    assert caller.send("GET", url, headers=asked(runtime, Cookie=f"{name}={edge}")).status_code == 401


@pytest.mark.threat("FWD-1")
def test_an_email_is_told_only_while_it_is_verified(runtime: Runtime) -> None:
    assert runtime.admin("PUT", "/v1/users/alice", {"email": "alice@home.example"}).status_code == 200
    person, caller = Browser(runtime, "127.0.0.33"), proxy(runtime)
    person.sign_in()
    headers = asked(runtime, Cookie=f"{runtime.edge_cookie}={person.cookies[runtime.edge_cookie]}")
    assert caller.send("GET", "/api/auth/forward", headers=headers).headers["X-Auth-Email"] == "alice@home.example"
    runtime.write("UPDATE users SET email_verified = 0 WHERE username = 'alice'")  # as a provider's newcomer is
    unverified = caller.send("GET", "/api/auth/forward", headers=headers)
    assert (unverified.status_code, unverified.headers["X-Auth-Email"]) == (200, "")


@pytest.mark.threat("LOG-3")
def test_nobody_else_is_believed(runtime: Runtime) -> None:
    person, stranger = Browser(runtime, "127.0.0.31"), Browser(runtime, "127.0.0.3")
    person.sign_in()
    cookie = f"{runtime.edge_cookie}={person.cookies[runtime.edge_cookie]}"
    forged = {
        "X-Forwarded-Host": GUARDED,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Uri": "/",
        "X-Forwarded-For": PROXY,
        "X-Real-Ip": PROXY,
        "Cookie": cookie,
    }
    if runtime.mode == "lan":
        forged |= {"Argos-Forwarded-Host": GUARDED, "Argos-Client-Ip": PROXY}
    answer = stranger.send("GET", "/api/auth/forward", headers=forged)
    assert answer.status_code == 403
    assert "X-Auth-User" not in answer.headers


def test_half_signed_in_passes_nowhere(runtime: Runtime) -> None:
    runtime.person("half-way", must_change=True)
    person = Browser(runtime, "127.0.0.32")
    person.sign_in("half-way")
    cookie = f"{runtime.edge_cookie}={person.cookies[runtime.edge_cookie]}"
    assert proxy(runtime).send("GET", "/api/auth/forward", headers=asked(runtime, Cookie=cookie)).status_code == 401
