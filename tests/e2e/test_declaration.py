"""What an operator declares takes effect whole or not at all, and never means more than it says."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.echo import Received
from lab.guest import Guest
from lab.hosts import standard_hosts
from lab.visitor import Visitor

# Everything that a write or a reload would change: rows, the rendered file, and Caddy's own account of its loads.
_TRACES = """
import json, os, sqlite3, subprocess
base = sqlite3.connect("file:/var/lib/argos/argos.db?mode=ro", uri=True)
one = lambda query: base.execute(query).fetchone()[0]
rendered = os.stat("/var/lib/argos-edge/caddy.json")
subprocess.run(["journalctl", "--sync"], check=True)  # what Caddy has said and journald has not read yet
journal = subprocess.run(["journalctl", "-u", "argos-caddy", "-o", "cat", "--no-pager"], capture_output=True).stdout
print(json.dumps({
    "revision": one("SELECT max(id) FROM revisions"),
    "audit": one("SELECT max(id) FROM audit"),
    "resources": one("SELECT max(updated_at) FROM resources"),
    "rendered": [rendered.st_mtime_ns, rendered.st_ino],
    "journal": journal.count(b"load"),
}))
"""


def traces(guest: Guest) -> dict[str, object]:
    return json.loads(guest.python(_TRACES))


def everything(api: AdminApi) -> dict[str, object]:
    return api.get("/v1/config")


@pytest.mark.threat("DAT-3")
def test_three_impossible_values_are_named_at_once_and_nothing_changes(
    guest: Guest, api: AdminApi, declaration: Declaration, visitor: Visitor
) -> None:
    before, marks = everything(api), traces(guest)
    broken = declaration.host(
        "e2e-open",
        upstreams=[{"url": "gopher://127.0.0.1:70"}],
        waf={"mode": "sometimes"},
        rate_limit={"requests": 0, "window": 10},
    )
    answer = declaration.try_apply([broken])
    assert answer.status == 400
    name = f"host/{declaration.name('e2e-open')}"
    named = {error["field"] for error in answer.error["errors"] if error["resource"] == name}
    assert {"upstreams[0].url", "waf.mode", "rate_limit.requests"} <= named
    for error in answer.error["errors"]:
        assert error["problem"], error
        assert error["expected"], error
    assert everything(api) == before
    assert traces(guest) == marks
    assert visitor.get(f"https://{declaration.name('e2e-open')}/").status_code == 200


@pytest.mark.threat("DAT-3")
def test_what_only_caddy_refuses_is_named_with_its_reason_and_the_old_configuration_serves(
    guest: Guest, api: AdminApi, declaration: Declaration, new_visitor: Callable[..., Visitor]
) -> None:
    before = everything(api)
    rendered = traces(guest)["rendered"]
    bad = 'SecRule ARGS "@rx (never-closed" "id:100050,phase:2,deny"'
    hosts = [
        *standard_hosts(declaration),
        declaration.host("e2e-fine"),
        declaration.host("e2e-refused", waf={"mode": "block", "custom_rules": [bad]}),
    ]
    answer = declaration.try_apply(hosts)
    assert answer.status == 422, answer
    told = json.dumps(answer.error)
    assert declaration.name("e2e-refused") in told
    assert "never-closed" in told or "missing closing" in told, told
    assert declaration.name("e2e-fine") not in told
    assert everything(api) == before
    assert traces(guest)["rendered"] == rendered
    assert new_visitor().get(f"https://{declaration.name('e2e-open')}/").status_code == 200
    assert new_visitor().get(f"https://{declaration.name('e2e-guarded')}/").status_code == 401
    assert new_visitor().get(f"https://{declaration.name('e2e-block')}/?q=<script>alert(1)</script>").status_code == 403


@pytest.mark.threat("DEP-1")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "unix//run/argos-admin/admin.sock",
        "http://localhost:8080",
        "http://[::1]:8080",
        "http://169.254.169.254{file./etc/hostname}",
    ],
)
def test_no_upstream_may_be_one_of_our_own_sockets(declaration: Declaration, url: str) -> None:
    answer = declaration.plan([declaration.host("e2e-greedy", upstreams=[{"url": url}])])
    assert answer.status == 400, answer
    assert answer.error["errors"][0]["field"] == "upstreams[0].url"


LITERAL = "{file./etc/hostname} {env.HOME} {system.hostname} {http.request.header.X-Probe} {$HOME} {{x}} \\{y}"


@pytest.mark.threat("DEP-1")
def test_operator_strings_are_no_placeholders(
    guest: Guest, declaration: Declaration, more_hosts, visitor: Visitor
) -> None:
    more_hosts(
        declaration.host(
            "e2e-literal",
            request_headers={"set": {"X-Note": LITERAL}},
            response_headers={"set": {"X-Answer": LITERAL}},
            rules=[
                {
                    "priority": 1,
                    "match": {"path": ["/body"]},
                    "action": {"type": "fixed_response", "status": 200, "body": LITERAL},
                },
                {
                    "priority": 2,
                    "match": {"path": ["/move"]},
                    "action": {"type": "redirect", "location": "/to?{env.HOME}{file./etc/hostname}", "status": 302},
                },
            ],
        )
    )
    host = f"https://{declaration.name('e2e-literal')}"
    probe = {"X-Probe": "from the client"}
    body = visitor.get(f"{host}/body", headers=probe)
    assert body.text == LITERAL
    echoed = visitor.get(f"{host}/", headers=probe)
    assert Received.of(echoed.content).one("x-note") == LITERAL
    assert echoed.headers["X-Answer"] == LITERAL
    location = visitor.get(f"{host}/move").headers["Location"]
    assert "env.HOME" in location
    assert "file./etc/hostname" in location
    assert guest.name not in body.text + location + echoed.headers["X-Answer"]


@pytest.mark.threat("DAT-3")
def test_a_second_apply_of_200_hosts_writes_and_reloads_nothing(
    guest: Guest, api: AdminApi, declaration: Declaration, new_visitor: Callable[..., Visitor]
) -> None:
    many = [
        declaration.host(f"e2e-many-{number}", auth={"required": number % 2 == 0}, waf={"mode": "block"})
        for number in range(200)
    ]
    declaration.apply(standard_hosts(declaration))
    hosts = [*standard_hosts(declaration), *many]
    try:
        first = declaration.apply(hosts)
        assert first["changed"] is True
        assert len(first["changes"]) == 200
        marks, state = traces(guest), everything(api)
        second = declaration.apply(copy.deepcopy(hosts))
        assert second["changed"] is False
        assert second["changes"] == []
        assert traces(guest) == marks
        assert everything(api) == state
        assert new_visitor().get(f"https://{declaration.name('e2e-many-199')}/").status_code == 200
        assert new_visitor().get(f"https://{declaration.name('e2e-many-198')}/").status_code == 401
    finally:
        declaration.apply(standard_hosts(declaration))


@pytest.mark.threat("DAT-3")
def test_a_plan_says_what_an_apply_does_and_does_nothing(guest: Guest, declaration: Declaration, api: AdminApi) -> None:
    marks = traces(guest)
    hosts = [*standard_hosts(declaration), declaration.host("e2e-planned")]
    plan = declaration.plan(hosts).body
    assert plan["changed"] is True
    assert [(change["kind"], change["name"], change["action"]) for change in plan["changes"]] == [
        ("host", declaration.name("e2e-planned"), "create")
    ]
    assert traces(guest) == marks


@pytest.mark.threat("DAT-3")
def test_of_two_racing_declarations_the_later_is_told(api: AdminApi, declaration: Declaration) -> None:
    stale = declaration.plan(standard_hosts(declaration)).body["etag"]
    try:
        declaration.apply([*standard_hosts(declaration), declaration.host("e2e-race")])
        document = declaration.document(standard_hosts(declaration))
        late = api.request("POST", "/v1/config/apply", document, {"If-Match": stale})
        assert late.status == 412
        assert late.error["code"] == "stale"
    finally:
        declaration.apply(standard_hosts(declaration))


@pytest.mark.threat("DAT-3")
def test_prune_leaves_what_others_declared(api: AdminApi, declaration: Declaration) -> None:
    others = {host["name"] for host in everything(api)["hosts"] if "e2e-" not in host["name"]}
    assert others, "the site's own hosts"
    plan = declaration.plan([]).body
    assert not others & {change["name"] for change in plan["changes"]}
