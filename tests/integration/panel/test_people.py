"""People over the admin socket and at a running gate's own decision: what is taken away is gone on the next request."""

from __future__ import annotations

import pytest
from panel_runtime import GUARDED, PASSWORD, Browser, Runtime

PROXIED = {"Method": "GET", "Proto": "https", "Host": GUARDED, "Uri": "/page"}


def forward(runtime: Runtime, cookie: str) -> int:
    headers = {f"Argos-Forwarded-{name}": value for name, value in PROXIED.items()}
    caller = Browser(runtime, "203.0.113.60")
    return caller.send("GET", "/api/auth/forward", headers={**headers, "Cookie": cookie}).status_code


def put(runtime: Runtime, username: str, check: bool = False, **wanted: object) -> dict:
    answer = runtime.admin("PUT", f"/v1/users/{username}" + ("?check=true" if check else ""), wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize(
    "wanted",
    [{"groups": ["family"]}, {"role": "admin"}, {"disabled": True}, {"password": "another long one"}],
    ids=["groups", "role", "disabled", "password"],
)
def test_a_change_of_rights_is_planned_exactly_and_holds_on_the_next_request(
    behind_caddy: Runtime, wanted: dict[str, object]
) -> None:
    put(behind_caddy, "frank", groups=[], role="member", disabled=False, password=PASSWORD)
    person = Browser(behind_caddy, "127.0.0.40")
    person.sign_in("frank")
    cookie = f"{behind_caddy.edge_cookie}={person.cookies[behind_caddy.edge_cookie]}"
    assert forward(behind_caddy, cookie) == 200

    planned = put(behind_caddy, "frank", check=True, **wanted)
    assert planned["changed"]
    assert planned["before"] != planned["after"]
    assert forward(behind_caddy, cookie) == 200, "a plan changed something"
    assert put(behind_caddy, "frank", **wanted) == planned
    assert forward(behind_caddy, cookie) == 401
    assert not put(behind_caddy, "frank", **wanted)["changed"]
    assert not put(behind_caddy, "frank", check=True, **wanted)["changed"]


def test_a_link_from_the_admin_api_sets_a_password_once(behind_caddy: Runtime) -> None:
    made = behind_caddy.admin("POST", "/v1/users", {"username": "grace", "groups": ["family"], "link": True})
    assert made.status_code == 201, made.text
    link = made.json()["link"]
    assert link.startswith(f"https://{behind_caddy.host}/welcome?token=")
    token = link.partition("=")[2]
    person = Browser(behind_caddy, "127.0.0.41")
    assert person.get(f"/welcome?token={token}").status_code == 200
    done = person.post("/welcome", {"token": token, "new": PASSWORD, "again": PASSWORD})
    assert (done.status_code, done.headers["Location"]) == (303, "/login?password=set")
    assert person.post("/welcome", {"token": token, "new": PASSWORD, "again": PASSWORD}).status_code == 404
    person.sign_in("grace")
    assert behind_caddy.admin("DELETE", "/v1/users/grace?check=true").json()["after"] is None
    assert behind_caddy.admin("DELETE", "/v1/users/grace").status_code == 200
    assert behind_caddy.admin("DELETE", "/v1/users/grace").status_code == 404


@pytest.mark.parametrize(
    "body", [{"groups": "family"}, {"rolle": "admin"}, {"role": "owner"}, {"update_password": "never"}, []]
)
def test_a_body_of_another_shape_is_refused_by_name(behind_caddy: Runtime, body: object) -> None:
    refused = behind_caddy.admin("PUT", "/v1/users/frank", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid"
