"""``/api/auth/forward``: believed only from the proxies the operator named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.admin_api import OWNER, AdminApi, Declaration
from lab.people import Panel, Person
from lab.visitor import Visitor

PROXY = "198.51.100.254"


@pytest.fixture(scope="module")
def proxy_named(api: AdminApi) -> Iterator[None]:
    """Name one address as an authentication proxy, and take it back."""
    edge = api.settings()["edge"]
    named = {**edge, "auth_proxies": [f"{PROXY}/32"]}
    plan = api.request("POST", "/v1/config/plan", {"owner": OWNER, "settings": {"edge": named}}).body
    owner = plan["changes"][0]["before"]["owner"]  # so that the site's own next run changes nothing

    def declare(settings: dict[str, Any]) -> None:
        answer = api.request("POST", "/v1/config/apply", {"owner": owner, "settings": {"edge": settings}})
        assert answer.status == 200, answer

    declare(named)
    yield
    declare(edge)


def forwarded(declaration: Declaration, label: str = "e2e-guarded") -> dict[str, str]:
    return {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": declaration.name(label),
        "X-Forwarded-Uri": "/page?a=1&b=%2F",
        "X-Forwarded-For": "203.0.113.250",
    }


def cookie_of(client: Visitor) -> dict[str, str]:
    return {"Cookie": f"__Secure-argos_session={client.http.cookies['__Secure-argos_session']}"}


@pytest.mark.threat("LOG-3")
@pytest.mark.threat("FWD-3")
def test_nobody_else_is_believed(signed_in: Visitor, new_visitor, panel: Panel, declaration: Declaration) -> None:
    for headers in (
        forwarded(declaration),
        {**forwarded(declaration), "Argos-Forwarded-Host": "x", "X-Real-Ip": PROXY},
    ):
        answer = new_visitor().get(f"{panel.url}/api/auth/forward", headers={**headers, **cookie_of(signed_in)})
        assert answer.status_code == 403, answer.status_code
        assert "X-Auth-User" not in answer.headers


@pytest.mark.threat("LOG-3")
@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("proxy_named")
def test_a_named_proxy_gets_the_decision(
    signed_in: Visitor,
    new_visitor: Callable[..., Visitor],
    panel: Panel,
    alice: Person,
    declaration: Declaration,
) -> None:
    proxy, url = new_visitor(PROXY), f"{panel.url}/api/auth/forward"
    passed = proxy.get(url, headers={**forwarded(declaration), **cookie_of(signed_in)})
    assert passed.status_code == 200
    assert passed.headers["X-Auth-User"] == alice.username
    asked = forwarded(declaration)
    assert proxy.get(url, headers=asked).status_code == 401
    browser = {**asked, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
    sent_away = proxy.get(url, headers=browser)
    assert sent_away.status_code == 302
    assert "page%3Fa%3D1%26b%3D%252F" in sent_away.headers["Location"]
    own = signed_in.http.cookies["__Host-argos_panel"]
    stolen = {"Cookie": f"__Secure-argos_session={own}; __Host-argos_panel={own}"}
    assert proxy.get(url, headers={**asked, **stolen}).status_code == 401
    unknown = {**asked, "X-Forwarded-Host": "evil.example"}
    assert proxy.get(url, headers={**unknown, **cookie_of(signed_in)}).status_code in (401, 403)
    stranger = new_visitor().get(url, headers={**asked, **cookie_of(signed_in)})
    assert stranger.status_code == 403
