"""A first host from an empty panel, by its forms alone, with a real Caddy: published, protected, set back, gone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.edge.apply import ApplyEngine
from argos.edge.decode import decode_document
from argos.panel.app import panel_app
from edge_rig import ACTOR, EchoUpstream, Edge
from falcon import testing
from waiting import until

NAME = "photos.home.example"
SQLI = quote("1' UNION SELECT username, password FROM users--")
BLANK = {"access": "public", "waf_mode": "off", "paranoia": "1"}


class Panel:
    """An administrator at the panel of a guest in ``lan`` on which nothing is declared."""

    def __init__(self, edge: Edge) -> None:
        settings = replace(edge.settings, mode="lan", panel_hosts=("192.0.2.10",))
        self.application = Application.from_settings(settings, password_cost=4)
        made = self.application
        made.__dict__["engine"] = ApplyEngine(
            settings,
            made.storage,
            made.vault,
            made.secrets,
            made.audit,
            made.epoch,
            made.scrubber,
            context=edge.context,
            caddy=edge.admin,
        )
        admin = made.accounts.create(Actor("cli", "test"), "root-admin", "admin", "correct horse battery")
        token = made.sessions.begin(Actor("cli", "test"), admin.id, "192.0.2.1").panel_token
        headers = {
            "Host": "192.0.2.10:9080",
            "Origin": "http://192.0.2.10:9080",
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"argos_panel={token}",
        }
        self.client = testing.TestClient(panel_app(made), headers=headers)
        self._seen = 0

    def get(self, address: str) -> str:
        """A page's text."""
        answer = self.ask("GET", address)
        assert answer.status_code == 200, f"{address}: {answer.status} {answer.text}"
        return answer.text

    def ask(self, method: str, address: str, form: dict[str, str] | None = None) -> testing.Result:
        """Any request."""
        path, _unused, query = address.partition("?")
        return self.client.simulate_request(
            method, path, query_string=query, body=urlencode(form or {}), remote_addr="192.0.2.1"
        )

    def post(self, address: str, **form: str) -> testing.Result:
        """Send the page's form, as it stands now, with ``form`` typed in."""
        etag = re.search(r'name="etag" value="([0-9a-f]+)"', self.get(address))
        assert etag, f"{address}: no form"
        return self.ask("POST", address, {"etag": etag[1], **form})

    def save(self, **form: str) -> str:
        """Save the host's settings; where that leads."""
        answer = self.post(f"/hosts/{NAME}", do="save", **{**BLANK, **form})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def news(self) -> list[tuple[str, str]]:
        """Of the changes that were recorded since the last call what and on what."""
        with self.application.storage.read() as connection:
            query = (
                f"SELECT id, action, target FROM audit WHERE action LIKE 'config.%' AND id > {self._seen} ORDER BY id"
            )
            rows = connection.exec_driver_sql(query).all()
        self._seen = rows[-1][0] if rows else self._seen
        return [(row[1], row[2]) for row in rows]

    def actors(self) -> set[str]:
        """Who changed something."""
        with self.application.storage.read() as connection:
            return set(connection.exec_driver_sql("SELECT actor FROM audit WHERE action LIKE 'config.%'").scalars())


@pytest.fixture
def panel(edge: Edge) -> Iterator[Panel]:
    made = Panel(edge)
    # CrowdSec is not here; with it Caddy is walked in tests/integration/threat.
    made.application.engine.apply(ACTOR, decode_document({"settings": {"crowdsec": {"enabled": False}}}))
    yield made
    made.application.close()


def event_of(panel: Panel) -> str:
    """The address of the host's newest WAF event, once Caddy has written it."""

    def events() -> list[str]:
        return re.findall(r'href="(/waf/[0-9a-f]{16})"', panel.get(f"/hosts/{NAME}"))

    until(lambda: events() != [], told=lambda: "no event came")
    return events()[0]


def test_a_first_host_is_published_and_protected_by_the_panel_alone(
    edge: Edge, panel: Panel, echo: EchoUpstream
) -> None:
    assert 'href="/hosts/new"' in panel.get("/")
    names = {"panel_host": "argos.home.example", "parent_domain": "home.example", "name": NAME, "upstreams": echo.url}
    planned = panel.post("/hosts/new", do="plan", **names, **BLANK)
    assert f"host/{NAME}" in planned.text
    assert ("host", NAME) not in panel.application.state().resources, "looking changes nothing"
    made = panel.post("/hosts/new", do="save", **names, **BLANK)
    assert (made.status_code, made.headers.get("location")) == (303, f"/hosts/{NAME}?done=published"), made.text
    assert ("config.apply", f"host/{NAME}") in panel.news()
    assert "Published." in panel.get(made.headers["location"])
    assert edge.ask(NAME, "/hello").received().path == "/hello"
    assert panel.application.state().resources["host", NAME].owner == "panel"

    upstreams = {"upstreams": echo.url}
    assert panel.save(**upstreams, waf_mode="block") == f"/hosts/{NAME}?done=saved"
    assert panel.news() == [("config.apply", f"host/{NAME}")]
    assert edge.ask(NAME, f"/search?q={SQLI}").status == 403
    assert panel.save(**upstreams, waf_mode="block") == f"/hosts/{NAME}?done=same"

    event = event_of(panel)
    assert f'href="/hosts/{NAME}"' in panel.get(event), "the event leads back to its host"
    assert "in force" in panel.post(event).text
    assert panel.news() == [("config.apply", f"host/{NAME}")]
    assert edge.ask(NAME, f"/search?q={SQLI}").status == 200
    assert edge.ask(NAME, f"/other?q={SQLI}").status == 403
    while "Inspect again" in (page := panel.get(f"/hosts/{NAME}")):
        before = page.count("Inspect again")
        assert panel.post(f"/hosts/{NAME}", do="include", exclusion="0").status_code == 303
        assert panel.get(f"/hosts/{NAME}").count("Inspect again") < before
        assert panel.news() == [("config.apply", f"host/{NAME}")]
    assert edge.ask(NAME, f"/search?q={SQLI}").status == 403
    excluded = panel.ask("POST", f"/api/v1/waf/events/{event.removeprefix('/waf/')}/exclusion")
    assert excluded.status_code == 200, excluded.text
    assert panel.news() == [("config.apply", f"host/{NAME}")]

    assert panel.save(**upstreams, waf_mode="block", maintenance="1", maintenance_text="Back at nine.")
    assert b"Back at nine." in edge.ask(NAME).body
    revision = re.search(r'<span class="badge ">was in force</span>', panel.get("/history/2"))
    assert revision, "the second revision published the host"
    back = panel.post("/history/2")
    assert back.headers["location"] == "/history?back=2"
    assert "the same as in revision 2" in panel.get("/history?back=2")
    assert edge.ask(NAME, f"/search?q={SQLI}").status == 200, "as it was first published"

    gone = panel.post(f"/hosts/{NAME}", do="remove")
    assert (gone.status_code, gone.headers.get("location")) == (303, f"/hosts?removed={NAME}")
    assert panel.news()[-1] == ("config.apply", f"host/{NAME}")
    assert "no longer published" in panel.get(f"/hosts?removed={NAME}")
    assert panel.ask("GET", f"/hosts/{NAME}").status_code == 404
    assert panel.actors() == {"user:root-admin", "cli:test"}


def test_what_no_field_shows_stays_and_a_lost_race_is_told(edge: Edge, panel: Panel, echo: EchoUpstream) -> None:
    names = {"panel_host": "argos.home.example", "parent_domain": "home.example"}
    declared = {
        "name": NAME,
        "upstreams": [{"url": echo.url, "max_requests": 7}],
        "response_headers": {"set": {"X-Kept": "yes"}},
        "auth": {
            "required": True,
            "emails": ["alice@home.example"],
            "paths": [{"path": "/health", "access": "public"}],
        },
        "rate_limit": {"requests": 500, "window": 10, "key": "global"},
    }
    document = {"owner": "ansible", "settings": {"edge": names}, "hosts": [declared]}
    panel.application.engine.apply(ACTOR, decode_document(document))
    before = panel.application.state().resources["host", NAME]
    page = panel.get(f"/hosts/{NAME}")
    assert "ansible manages this host" in page
    assert "X-Kept" in page
    as_it_stands = {"upstreams": echo.url, "access": "people", "requests": "500", "window": "10"}
    assert panel.save(**as_it_stands, maintenance_text=before.value.maintenance.text).endswith("?done=same")
    assert panel.save(**as_it_stands, lan_only="1").endswith("?done=saved")
    after = panel.application.state().resources["host", NAME]
    assert {**before.spec, "lan_only": True} == after.spec
    assert after.owner == "ansible"

    late = panel.ask(
        "POST", f"/hosts/{NAME}", {"etag": "0" * 64, "do": "save", **BLANK, "upstreams": "http://10.9.9.9:1"}
    )
    assert late.status_code == 412
    assert "Somebody has changed the configuration" in late.text
    assert "http://10.9.9.9:1" in late.text, "what was typed is kept"
    wrong = panel.post(f"/hosts/{NAME}", do="save", **{**BLANK, "upstreams": "10.0.0.5", "waf_mode": "policy"})
    assert wrong.status_code == 400
    assert "lacks a host or a port" in html.unescape(wrong.text)
    assert panel.application.state().resources["host", NAME].spec == after.spec
