"""``/api/auth/forward`` hands back the cookies that a service may have: the visitor's own, and none of Argos's."""

from __future__ import annotations

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing

GUARDED = "photos.home.example"
NAME = "__Secure-argos_session"
RULE = '{"required": true, "public_paths": ["/health"]}'


def ask(application: Application, cookie: str, uri: str = "/") -> testing.Result:
    with application.storage.write() as connection:
        connection.exec_driver_sql("INSERT OR REPLACE INTO gate_hosts (host_id, rule) VALUES (?, ?)", (GUARDED, RULE))
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO gate_settings (id, panel_url, cookie_name, idle_seconds) VALUES (1, ?, ?, 3600)",
            ("https://argos.home.example", NAME),
        )
    headers = {
        "Host": "argos.home.example",
        "Argos-Client-Ip": "203.0.113.5",
        "Argos-Forwarded-Host": GUARDED,
        "Argos-Forwarded-Uri": uri,
        "Cookie": cookie,
    }
    return testing.TestClient(panel_app(application), headers=headers).simulate_get("/api/auth/forward")


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("{ours}", None),
        ("theme=dark; {ours}", "theme=dark"),
        ("{ours}; theme=dark", "theme=dark"),
        ("a=1; {ours}; b=2; c=x y", "a=1; b=2; c=x y"),
        ("a=1;{ours};b=2", "a=1;b=2"),
        ("my_argos_colour=1; {ours}; note=argos_; b=\u00fc", "my_argos_colour=1; note=argos_; b=\u00fc"),
        # Planted beside the real one, before it and after it, so that only one of them would be taken out.
        (f"{NAME}=junk; {{ours}}; argos_session=junk; b=2", "b=2"),
        (f"{{ours}}; {NAME}=junk; ={NAME}=junk; ARGOS_session=junk", None),
        ("a=1; {ours}; argos_panel=x; __Host-argos_device=y", "a=1"),
    ],
)
def test_a_200_tells_the_cookies_that_are_not_argoss(application: Application, sent: str, kept: str | None) -> None:
    user = application.accounts.get("alice")
    token = application.sessions.begin(Actor("user", "alice"), user.id, "203.0.113.5").edge_token
    answer = ask(application, sent.replace("{ours}", f"{NAME}={token}"))
    assert answer.status_code == 200
    assert answer.headers["x-auth-user"] == "alice"
    assert answer.headers.get("cookie") == kept
    assert token not in str(answer.headers)


@pytest.mark.threat("AUT-3")
def test_a_public_path_tells_no_session_either_and_a_refusal_no_cookie(application: Application) -> None:
    user = application.accounts.get("alice")
    issued = application.sessions.begin(Actor("user", "alice"), user.id, "203.0.113.5")
    cookie = f"a=1; {NAME}={issued.edge_token}"
    application.sessions.revoke_user(Actor("cli", "test"), user.id)
    assert ask(application, cookie, "/health").headers["cookie"] == "a=1"
    refused = ask(application, cookie)
    assert refused.status_code == 401
    assert "cookie" not in refused.headers
