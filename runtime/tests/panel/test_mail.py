"""The page of mail: what it declares, what it keeps, and that a test message asks for what the form says."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}
FILLED = {
    "do": "save",
    "enabled": "1",
    "host": " smtp.home.example ",
    "security": "tls",
    "username": "argos",
    "password": "smtp-password",
    "sender": "argos@home.example",
    "recipients": "me@home.example\r\nyou@home.example",
    "backup_failed": "1",
}


def client(application: Application) -> testing.TestClient:
    issued = application.sessions.begin(
        Actor("user", "root-admin"), application.accounts.get("root-admin").id, "203.0.113.5"
    )
    return testing.TestClient(
        panel_app(application), headers={**HEADERS, "Cookie": f"__Host-argos_panel={issued.panel_token}"}
    )


def etag(application: Application) -> str:
    return application.state().etag()


def test_the_form_declares_what_it_says_and_only_over_the_state_it_showed(application: Application) -> None:
    browser = client(application)
    empty = browser.simulate_get("/mail").text
    assert "No mail server is declared" in empty
    application.secrets.set(Actor("cli", "root"), "smtp-password", "a password of the relay")
    shown = etag(application)
    saved = browser.simulate_post("/mail", body=urlencode({**FILLED, "etag": shown}))
    assert (saved.status_code, saved.headers["location"]) == (303, "/mail?done=saved")
    mail = application.state().mail
    assert mail is not None
    assert (mail.host, mail.port, mail.security) == ("smtp.home.example", 465, "tls")
    assert mail.recipients == ("me@home.example", "you@home.example")
    assert mail.events == ("backup_failed",)
    assert application.state().resources["settings", "mail"].owner == "panel"
    page = browser.simulate_get("/mail").text
    assert "a password of the relay" not in page
    assert 'value="smtp-password" selected' in page

    lost = browser.simulate_post("/mail", body=urlencode({**FILLED, "host": "other.home.example", "etag": shown}))
    assert lost.status_code == 412
    assert "Somebody has changed the configuration" in lost.text
    assert "other.home.example" in lost.text, "what was typed is kept"
    assert application.state().mail == mail
    again = browser.simulate_post("/mail", body=urlencode({**FILLED, "etag": etag(application)}))
    assert again.headers["location"] == "/mail?done=same"


def test_what_a_playbook_manages_stays_its_own_and_is_said(application: Application) -> None:
    spec = {"host": "smtp.home.example", "sender": "a@home.example", "recipients": ["b@home.example"]}
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'mail', ?, 'ansible', 0)",
            (json.dumps(spec),),
        )
    browser = client(application)
    assert "ansible manages these settings" in browser.simulate_get("/mail").text
    form = {**FILLED, "username": "", "password": "", "etag": etag(application)}
    assert browser.simulate_post("/mail", body=urlencode(form)).status_code == 303
    assert application.state().resources["settings", "mail"].owner == "ansible"


def test_the_button_tells_each_step_and_takes_no_address_of_strangers(application: Application) -> None:
    browser = client(application)
    undeclared = browser.simulate_post("/mail", body=urlencode({"do": "test"}))
    assert (undeclared.status_code, "no mail server is declared" in undeclared.text) == (409, True)
    # Port 1 of this machine: nobody answers there.
    spec = {
        "host": "127.0.0.1",
        "port": 1,
        "security": "none",
        "sender": "a@home.example",
        "recipients": ["b@home.example"],
    }
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'mail', ?, '', 0)",
            (json.dumps(spec),),
        )
    tried = browser.simulate_post("/mail", body=urlencode({"do": "test", "to": "b@home.example"}))
    assert tried.status_code == 200
    assert "<strong>connect</strong>: Connection refused" in tried.text
    refused = browser.simulate_post("/mail", body=urlencode({"do": "test", "to": "x@victim.example"}))
    assert refused.status_code == 400
    assert "Send it to is &#39;x@victim.example&#39;" in refused.text
    for _unused in range(4):
        assert browser.simulate_post("/mail", body=urlencode({"do": "test"})).status_code == 200
    many = browser.simulate_post("/mail", body=urlencode({"do": "test"}))
    assert (many.status_code, many.headers["retry-after"]) == (503, "600")
