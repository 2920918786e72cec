"""DAT-3: a walk over all mutating routes, which demands an audit row of each."""

from __future__ import annotations

import json

import falcon.inspect
import pyotp
import pytest
from argos.api.routes import admin_app
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing

ARCHIVE = "argos-20261123T020000Z-1f2e.backup"
NEW = {"username": "made-now", "password": "some long password"}
# Route: body, what the audit must say, who is said to have done it.
MUTATIONS = {
    ("POST", "/v1/users"): (NEW, "user.create", "user/made-now"),
    ("PUT", "/v1/users/{username}"): ({"role": "admin", "groups": ["family"]}, "user.update", "user/alice"),
    ("POST", "/v1/users/{username}/link"): ({}, "user.password_link", "user/alice"),
    ("DELETE", "/v1/users/{username}"): (None, "user.delete", "user/alice"),
    ("POST", "/v1/users/{username}/password"): (
        {"password": "some long password"},
        "user.reset_password",
        "user/alice",
    ),
    ("DELETE", "/v1/users/{username}/second-factor"): (None, "second_factor.disable", "user/alice"),
    ("PUT", "/v1/secrets/{name}"): ({"value": "a long secret value"}, "secret.create", "secret/token"),
    ("DELETE", "/v1/secrets/{name}"): (None, "secret.delete", "secret/token"),
    ("POST", "/v1/backups"): ({}, "backup.request", "backup"),
    ("POST", "/v1/mail/test"): ({}, "mail.test", "settings/mail"),
    ("DELETE", "/v1/backups/{name}"): (None, "backup.delete", f"backup/{ARCHIVE}"),
}
# A plan changes nothing; an apply is walked where a Caddy is: tests/integration/edge; decisions where a LAPI is:
# tests/integration/threat.
WITHOUT = {
    ("POST", "/v1/config/plan"),
    ("POST", "/v1/config/apply"),
    ("POST", "/v1/waf/events/{event}/exclusion"),
    ("PUT", "/v1/decisions"),
    ("DELETE", "/v1/decisions"),
    ("DELETE", "/v1/decisions/{number}"),
    # A plan changes nothing; an apply is walked where a Caddy is: tests/integration/edge.
    ("POST", "/v1/revisions/{number}/rollback"),
}
PANEL_FORMS = {
    # As an apply: walked where a Caddy is, in tests/integration/edge.
    ("POST", "/hosts/new"),
    ("POST", "/hosts/{name}"),
    ("POST", "/waf/{event}"),
    ("POST", "/backups"),
    ("POST", "/people"),
    ("POST", "/decisions"),
    ("POST", "/people/{username}"),
    ("POST", "/history/{number}"),
    ("POST", "/welcome"),
    ("POST", "/denied"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/password"),
    ("POST", "/oidc"),
    ("POST", "/oidc/link"),
    ("POST", "/oidc/confirm"),
    ("POST", "/second-factor"),
    ("POST", "/confirm"),
    ("POST", "/profile/second-factor"),
    ("POST", "/profile/sessions"),
    ("POST", "/mail"),
    ("POST", "/secrets"),
    ("POST", "/audit"),  # verifies, and changes nothing
}


def mutating(app: falcon.App, prefix: str) -> set[tuple[str, str]]:
    return {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and method.method != "GET" and route.path.startswith(prefix)
    }


def declare_mail(application: Application) -> None:
    """A mail server that is not there: the try is on record all the same."""
    mail = {
        "host": "127.0.0.1",
        "port": 1,
        "security": "none",
        "sender": "a@home.example",
        "recipients": ["b@home.example"],
    }
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'mail', ?, '', 0)",
            (json.dumps(mail),),
        )


def set_up_second_factor(application: Application, username: str) -> None:
    user, actor = application.accounts.get(username), Actor("user", username, "203.0.113.5")
    session = application.sessions.begin(actor, user.id, actor.address).session
    secret = application.second_factors.begin(actor, session).secret
    application.second_factors.confirm(actor, session, pyotp.TOTP(secret).at(application.clock.now()))


def newest(application: Application) -> tuple[str, str, str]:
    with application.storage.read() as connection:
        row = connection.exec_driver_sql("SELECT actor, action, target FROM audit ORDER BY id DESC LIMIT 1").one()
    return row[0], row[1], row[2]


@pytest.mark.threat("DAT-3")
def test_every_mutating_route_of_the_api_is_walked_here(application: Application) -> None:
    assert mutating(admin_app(application), "/v1") == set(MUTATIONS) | WITHOUT
    forms = mutating(panel_app(application), "/")
    assert {route for route in forms if not route[1].startswith("/api/v1")} == PANEL_FORMS
    mounted = {(method, path.removeprefix("/api")) for method, path in forms if path.startswith("/api/v1")}
    assert mounted == set(MUTATIONS) | WITHOUT


@pytest.mark.threat("DAT-3")
@pytest.mark.parametrize(("method", "path"), MUTATIONS, ids=lambda part: part.replace("/", "_"))
def test_a_mutation_leaves_its_row(application: Application, method: str, path: str) -> None:
    body, action, target = MUTATIONS[method, path]
    client = testing.TestClient(admin_app(application), headers={"Argos-Actor": "ansible:carol"})
    if action == "secret.delete":
        client.simulate_put("/v1/secrets/token", json={"value": "a long secret value"})
    if action == "second_factor.disable":
        set_up_second_factor(application, "alice")
    if action == "mail.test":
        declare_mail(application)
    name = "token"
    if action == "backup.delete":
        (application.settings.backup_dir / ARCHIVE).write_bytes(b"sealed")
        name = ARCHIVE
    target_path = path.replace("{username}", "alice").replace("{name}", name)
    answer = client.simulate_request(method, target_path, body=None if body is None else json.dumps(body))
    assert answer.status_code in {200, 201, 202}, answer.text
    assert newest(application) == ("admin_api:ansible:carol", action, target)
    assert application.audit.verify() is None
    with application.storage.read() as connection:
        everything = str(connection.exec_driver_sql("SELECT * FROM audit").all())
    assert "some long password" not in everything
    assert "a long secret value" not in everything
    assert "a long secret value" not in answer.text


@pytest.mark.threat("DAT-3")
def test_the_panels_forms_leave_their_rows(application: Application) -> None:
    headers = {
        "Host": "argos.home.example",
        "Argos-Client-Ip": "203.0.113.5",
        "Origin": "https://argos.home.example",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    client = testing.TestClient(panel_app(application), headers=headers)
    form = "username=newcomer&password=correct+horse+battery&rd=/"
    signed_in = client.simulate_post("/login", body=form)
    assert newest(application) == ("user:newcomer", "session.begin", "user/newcomer")
    cookies = {name: cookie.value for name, cookie in signed_in.cookies.items()}
    changed = client.simulate_post(
        "/password", body="current=correct+horse+battery&new=some+other+one&again=some+other+one", cookies=cookies
    )
    assert changed.status_code == 303
    with application.storage.read() as connection:
        actions = [row[0] for row in connection.exec_driver_sql("SELECT action FROM audit ORDER BY id DESC LIMIT 2")]
    assert actions == ["session.begin", "user.change_password"]
    cookies = {name: cookie.value for name, cookie in changed.cookies.items()}
    assert client.simulate_post("/logout", cookies=cookies).status_code == 303
    assert newest(application) == ("user:newcomer", "session.revoke", "user/newcomer")
