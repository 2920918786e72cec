"""An honest request that the WAF refuses, from the log to the narrowest exclusion; and policies by the module."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.playbook import Tasks
from lab.polling import until
from lab.visitor import Visitor

OWNER = "e2e-policies"
HONEST = {
    "title": "SQL for beginners",
    "text": "Try: SELECT name, price FROM books UNION SELECT name, price FROM games",
}
ATTACK = "<script>alert(document.cookie)</script>"


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


@pytest.fixture
def nothing_left(api: AdminApi) -> Iterator[None]:
    yield
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "prune": True}).status == 200


def waf_events(guest: Guest, host: str) -> list[dict[str, Any]]:
    return json.loads(guest.run("argos", "waf", "events", "--host", host, "--json"))


@pytest.mark.threat("ING-2")
def test_an_honest_request_that_was_refused_passes_after_its_exclusion_and_nothing_else_does(
    guest: Guest, api: AdminApi, new_visitor: Callable[..., Visitor], more_hosts: Any, declaration: Declaration
) -> None:
    more_hosts(declaration.host("e2e-wiki", waf={"mode": "block"}))
    host = declaration.name("e2e-wiki")

    def save(path: str = "/wiki/save", **fields: str) -> httpx.Response:
        """Send the wiki's form, each time from another address: CrowdSec bans who is refused often."""
        return new_visitor().post(f"https://{host}{path}", data={**HONEST, **fields})

    before = waf_events(guest, host)
    assert save().status_code == 403

    def logged() -> list[dict[str, Any]]:
        return [found for found in waf_events(guest, host) if found not in before]

    [event] = until("it is in the log", logged, within=60)
    assert (event["method"], event["uri"], event["status"]) == ("POST", "/wiki/save", 403)
    assert event["key"] in guest.run("argos", "waf", "events", "--host", host)

    why = guest.run("argos", "waf", "explain", event["key"])
    assert "refused with status 403" in why
    assert "in ARGS:text: " in why
    assert f"sudo argos waf exclude {event['key']} --apply" in why

    shown = guest.run("argos", "waf", "exclude", event["key"])
    assert f"--- host/{host} waf (now)" in shown
    assert '+      "parameter": "ARGS:text"' in shown
    assert '+      "path": "/wiki/save"' in shown
    assert "Nothing has been changed" in shown
    assert save().status_code == 403, "it was shown, not made"

    made = guest.run("argos", "waf", "exclude", event["key"], "--apply")
    assert made.splitlines()[:3] == shown.splitlines()[:3]
    assert "'e2e' manages this host" in made
    assert save().status_code == 200
    assert save(text=ATTACK).status_code == 403, "another attack in the same field"
    assert save(title=HONEST["text"]).status_code == 403, "the same in another field"
    assert save("/wiki/preview").status_code == 403, "the same on another path"
    declared = next(found for found in api.get("/v1/hosts")["hosts"] if found["name"] == host)
    assert declared["owner"] == "e2e"
    status, _unused, complaint = guest.attempt("argos", "waf", "exclude", event["key"], "--apply")
    assert (status, "already" in complaint) == (1, True), complaint
    assert guest.attempt("argos", "waf", "explain", "0123456789abcdef")[0] == 66


@pytest.mark.threat("ING-2")
@pytest.mark.usefixtures("nothing_left")
def test_a_policy_is_planned_declared_kept_used_and_refused_in_the_engines_words(
    tasks: Tasks, api: AdminApi, new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    wanted = {
        "owner": OWNER,
        "name": "e2e-wiki",
        "exclusions": [{"tag": "attack-sqli", "parameter": "ARGS:text", "path": "/save", "methods": ["POST"]}],
        "custom_rules": ['SecRule ARGS:magic "@streq boom" "id:100001,phase:2,deny,status:403"'],
    }
    planned = tasks.run("waf_policy", "--check", "--diff", **wanted)
    assert planned.changed
    assert api.get("/v1/config")["waf_policies"] == []
    made = tasks.run("waf_policy", "--diff", **wanted)
    assert made.result["diff"] == planned.result["diff"]
    assert '"tag": "attack-sqli"' in made.result["diff"][0]["after"]
    assert not tasks.run("waf_policy", "--diff", **wanted).changed

    hosts = [declaration.host(label, waf={"policy": "e2e-wiki"}) for label in ("e2e-policy-one", "e2e-policy-two")]
    answer = api.request("POST", "/v1/config/apply", {"owner": OWNER, "hosts": hosts})
    assert answer.status == 200, answer
    for host in hosts:
        url = f"https://{host['name']}"
        assert new_visitor().post(f"{url}/save", data=HONEST).status_code == 200
        assert new_visitor().post(f"{url}/other", data=HONEST).status_code == 403
        assert new_visitor().get(f"{url}/?magic=boom").status_code == 403

    before = api.get("/v1/config")
    broken = {**wanted, "custom_rules": ['SecRule ARGS "@rx (unclosed" "id:100002,phase:2,deny"']}
    refused = tasks.run("waf_policy", **broken)
    assert refused.failed
    for words in ("waf_policy/e2e-wiki", "error parsing regexp: missing closing )", "Nothing was changed"):
        assert words in refused.result["msg"], refused.result["msg"]
    assert "Traceback" not in refused.printed
    assert api.get("/v1/config") == before, "a refused rule was declared all the same"
    assert new_visitor().get(f"https://{hosts[0]['name']}/?magic=boom").status_code == 403
    used = tasks.run("waf_policy", name="e2e-wiki", state="absent")
    assert hosts[0]["name"] in used.result["msg"]
