"""Secrets as an operator has them: who uses one, what fits its use, and the page (SEC-1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from argos import named_secrets
from argos.application import Application
from argos.audit import Actor
from argos.edge.decode import decode_document
from argos.errors import Conflict, Invalid, NotFound
from argos.panel.app import panel_app
from falcon import testing

ACTOR = Actor("cli", "root")
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
HOST = {
    "name": "photos.home.example",
    "upstreams": [{"url": "http://10.0.0.5:2342"}],
    "request_headers": {"set": {"Authorization": {"secret": "photos-token"}}},
}
OIDC = {
    "enabled": True,
    "name": "Provider",
    "issuer": "https://id.example",
    "client_id": "argos",
    "client_secret": {"secret": "oidc-client"},
    "auto_provision": True,
    "allow_anyone": True,
}


def declared(application: Application, kind: str, name: str, spec: dict[str, Any]) -> None:
    """Put a resource into the database as an activated revision leaves it."""
    import msgspec

    key = {"hosts": [spec]} if kind == "host" else {"settings": {name: spec}}
    document = decode_document(key)
    value = document.hosts[0] if kind == "host" else getattr(document.settings, name)
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES (?, ?, ?, '', 0)",
            (kind, name, msgspec.json.encode(value).decode()),
        )


def test_a_list_says_who_uses_what_and_never_a_value(application: Application) -> None:
    secrets = application.declared_secrets
    secrets.set(ACTOR, "photos-token", "Bearer one")
    secrets.set(ACTOR, "photos-token", "Bearer two")
    secrets.set(ACTOR, "oidc-client", "a client secret")
    secrets.set(ACTOR, "spare", "nobody's")
    secrets.set(ACTOR, "crowdsec-bouncer-key", "bouncer")
    declared(application, "host", HOST["name"], HOST)
    declared(application, "settings", "oidc", OIDC)
    seen = {view.name: (view.version, view.used_by) for view in secrets.views()}
    assert seen == {
        "photos-token": (2, ("host/photos.home.example",)),
        "oidc-client": (1, ("settings/oidc",)),
        "spare": (1, ()),
        "crowdsec-bouncer-key": (1, ("settings/crowdsec",)),
    }


def test_a_secret_in_use_is_not_deleted_and_the_users_are_named(application: Application) -> None:
    secrets = application.declared_secrets
    secrets.set(ACTOR, "photos-token", "Bearer one")
    declared(application, "host", HOST["name"], HOST)
    for check in (True, False):
        with pytest.raises(Conflict, match=r"host/photos\.home\.example"):
            secrets.delete(ACTOR, "photos-token", check=check)
    secrets.set(ACTOR, "spare", "nobody's")
    secrets.delete(ACTOR, "spare", check=True)
    secrets.delete(ACTOR, "spare")
    with pytest.raises(NotFound):
        secrets.delete(ACTOR, "spare")


@pytest.mark.parametrize("value", ["two\nlines", "carriage\rreturn", "nul\0", PEM])
def test_what_a_header_cannot_carry_is_refused_where_a_header_uses_it(application: Application, value: str) -> None:
    secrets = application.declared_secrets
    assert secrets.set(ACTOR, "pem", PEM).changed, "a key may have several lines"
    secrets.set(ACTOR, "photos-token", "Bearer one")
    declared(application, "host", HOST["name"], HOST)
    for write in (lambda: secrets.set(ACTOR, "photos-token", value), lambda: secrets.would_set("photos-token", value)):
        with pytest.raises(Invalid) as raised:
            write()
        (error,) = raised.value.errors
        assert error.field == "value"
        assert "host/photos.home.example sends it as request_headers.set.Authorization" in error.problem
        assert value not in raised.value.message
    assert application.secrets.reveal("photos-token") == "Bearer one"


def test_a_host_whose_header_names_a_secret_of_several_lines_is_refused_by_the_plan(application: Application) -> None:
    application.declared_secrets.set(ACTOR, "photos-token", PEM)
    with pytest.raises(Invalid) as raised:
        application.engine.plan(decode_document({"hosts": [HOST]}))
    (error,) = raised.value.errors
    assert (error.resource, error.field) == ("host/photos.home.example", "request_headers.set.Authorization.secret")
    assert "one line" in error.expected
    application.declared_secrets.set(ACTOR, "photos-token", "Bearer one")
    assert application.engine.plan(decode_document({"hosts": [HOST]})).changed


@pytest.mark.threat("DAT-4")
def test_there_is_a_most(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_secrets, "MOST", 2)
    secrets = application.declared_secrets
    secrets.set(ACTOR, "one", "first value")
    secrets.set(ACTOR, "two", "second value")
    for write in (lambda: secrets.set(ACTOR, "three", "third value"), lambda: secrets.would_set("three", "x")):
        with pytest.raises(Conflict, match="there are 2 secrets already"):
            write()
    assert secrets.set(ACTOR, "two", "another value").version == 2


def test_a_value_that_caddy_does_not_have_yet_is_a_warning(application: Application) -> None:
    secrets = application.declared_secrets
    declared(application, "host", HOST["name"], HOST)
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO revisions (state, etag, resources, actor, created_at) VALUES ('active', '', '{}', '', 0)"
        )
    change = secrets.set(ACTOR, "photos-token", "Bearer one")
    assert change.changed
    assert "Caddy has not taken it yet" in change.warnings[0]
    assert "Bearer" not in change.warnings[0]
    assert (application.settings.credentials_dir / "secret-photos-token").read_text() == "Bearer one"
    assert secrets.set(ACTOR, "photos-token", "Bearer one").warnings == ()


def test_a_value_too_short_to_be_blanked_out_is_a_warning(application: Application) -> None:
    secrets = application.declared_secrets
    for short in ("12345", " 12345 \n"):
        (foreseen,) = secrets.would_set("pin", short).warnings
        (told,) = secrets.set(ACTOR, "pin", short).warnings
        assert told == foreseen
        assert "fewer than 6 characters" in told
        assert "12345" not in told
        assert secrets.set(ACTOR, "pin", short).warnings == ()
    assert secrets.set(ACTOR, "pin", "123456").warnings == ()


def browser(application: Application) -> testing.TestClient:
    issued = application.sessions.begin(Actor("user", "root-admin"), application.accounts.get("root-admin").id, "::1")
    return testing.TestClient(
        panel_app(application),
        headers={
            "Host": "argos.home.example",
            "Argos-Client-Ip": "203.0.113.5",
            "Origin": "https://argos.home.example",
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"__Host-argos_panel={issued.panel_token}",
        },
    )


def test_the_page_writes_and_removes_and_shows_no_value(application: Application) -> None:
    panel = browser(application)
    body = urlencode({"do": "set", "name": "pem", "value": PEM.replace("\n", "\r\n") + "\r\n"})
    stored = panel.simulate_post("/secrets", body=body)
    assert "pem is stored, version 1." in stored.text
    assert application.secrets.reveal("pem") == PEM
    assert "MIIE" not in stored.text + panel.simulate_get("/secrets").text
    refused = panel.simulate_post("/secrets", body=urlencode({"do": "set", "name": "<b>", "value": "a value"}))
    assert refused.status_code == 400
    assert "<b>" not in refused.text
    assert "a value" not in refused.text
    declared(application, "host", HOST["name"], HOST)
    application.declared_secrets.set(ACTOR, "photos-token", "Bearer one")
    kept = panel.simulate_post("/secrets", body=urlencode({"do": "delete", "name": "photos-token"}))
    assert kept.status_code == 409
    assert "is used by host/photos.home.example" in kept.text
    assert (
        "pem has been removed." in panel.simulate_post("/secrets", body=urlencode({"do": "delete", "name": "pem"})).text
    )
    assert panel.simulate_post("/secrets", body=urlencode({"do": "delete", "name": "pem"})).status_code == 404
    assert panel.simulate_post("/secrets", body="do=nonsense").status_code == 400


def test_the_record_is_searched_and_exported_in_the_panel(application: Application) -> None:
    panel = browser(application)
    hostile = "<script>alert(1)</script>' OR 1=1 --"
    with application.storage.write() as connection:
        for number in range(60):
            who = Actor("admin_api", "ansible:carol") if number % 2 else Actor("user", "alice", "203.0.113.9")
            application.audit.record(connection, who, "host.update", f"host/{number}", {"name": hostile}, {"weight": 2})
    first = panel.simulate_get("/audit", params={"action": "host."})
    assert first.text.count("<tr>") == 51
    assert "<script>" not in first.text
    assert "&lt;script&gt;" in first.text
    assert "ansible, claimed" in first.text
    older = first.text.partition('<p class="pager">')[2].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert panel.simulate_get(older).text.count("<tr>") == 11
    only = panel.simulate_get("/audit", params={"kind": "ansible", "action": "host.", "target": "host/1"})
    assert only.text.count("<tr>") == 1 + 6
    nothing = panel.simulate_get("/audit", params={"text": hostile + "x"})
    assert "No rows match." in nothing.text
    assert hostile not in nothing.text
    wrong = panel.simulate_get("/audit", params={"since": "yesterday", "kind": hostile})
    assert wrong.status_code == 400
    assert "since is" in wrong.text
    assert "None was altered and none is missing" in panel.simulate_post("/audit", body="do=verify").text
    csv = panel.simulate_get("/audit/export", params={"format": "csv", "kind": "ansible"})
    assert csv.headers["Content-Disposition"] == 'attachment; filename="argos-audit.csv"'
    assert csv.text.count("\r\n") == 31
    assert panel.simulate_get("/audit/export", params={"format": "exe"}).status_code == 400
    with application.storage.write() as connection:
        connection.exec_driver_sql("UPDATE audit SET target = 'host/x' WHERE id = 20")
    assert "Row 20: it was altered" in panel.simulate_post("/audit", body="do=verify").text
