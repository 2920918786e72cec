"""Decisions made by module, panel and command line over the real CrowdSec are in force at the real edge, and lifted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from lab.admin_api import AdminApi, Declaration
from lab.crowdsec import CrowdSec
from lab.guest import Guest
from lab.namespace import VISITORS
from lab.playbook import Tasks
from lab.polling import steadily, until
from lab.visitor import Visitor

WITHIN = 20  # seconds: ING-3
BY_MODULE, BY_API, EXEMPT, BESIDE = (str(VISITORS[number]) for number in (191, 192, 193, 194))
RANGE = "198.51.100.192/30"


@pytest.fixture(autouse=True)
def without_decisions(crowdsec: CrowdSec) -> Iterator[None]:
    yield
    crowdsec.forgive()


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


def status(client: Visitor, url: str) -> int:
    with suppress(httpx.TransportError):
        return client.get(url).status_code
    return 0


def health(api: AdminApi, name: str) -> dict[str, str]:
    return next(one for one in api.get("/v1/health")["checks"] if one["name"] == name)


@pytest.mark.threat("ING-3")
def test_a_ban_by_the_module_is_in_force_and_lifted_within_20_seconds(
    tasks: Tasks,
    api: AdminApi,
    guest: Guest,
    crowdsec: CrowdSec,
    new_visitor: Callable[..., Visitor],
    declaration: Declaration,
) -> None:
    host = f"https://{declaration.name('e2e-open')}/"
    banned, ranged, other = new_visitor(BY_MODULE), new_visitor(BY_API), new_visitor()
    wanted = {"value": BY_MODULE, "duration": "400d", "reason": "e2e"}
    assert tasks.run("decision", **wanted).failed, "over a year"
    wanted["duration"] = "365d"
    planned = tasks.run("decision", "--check", "--diff", **wanted)
    assert planned.changed
    assert crowdsec.decisions() == []
    began = time.monotonic()
    made = tasks.run("decision", "--diff", **wanted)
    assert made.result["diff"] == planned.result["diff"]
    made_range = api.request("PUT", "/v1/decisions", {"value": RANGE, "duration": "1h", "reason": "e2e"})
    assert made_range.status == 200, made_range
    until("both bans", lambda: status(banned, host) == status(ranged, host) == 403, within=WITHIN)
    assert status(other, host) == 200
    assert not tasks.run("decision", "--check", **wanted).changed
    assert not tasks.run("decision", **wanted).changed
    [found] = tasks.run("decision_info", ip=BY_MODULE).result["decisions"]
    assert (found["origin"], found["scope"], found["scenario"]) == ("argos", "ip", "e2e")
    assert -2 <= 365 * 86400 - found["seconds"] <= time.monotonic() - began + 2
    until("LAPI answers the doctor too", lambda: "LAPI answered Caddy" in health(api, "CrowdSec")["message"], within=60)
    told = json.loads(guest.run("argos", "status", "--json"))["crowdsec"]
    assert (told["enabled"], told["error"]) == (True, None)
    assert told["decisions"] >= 2
    assert told["seconds_since_answer"] < 20

    assert tasks.run("decision", value=BY_MODULE, state="absent").changed
    assert api.request("DELETE", f"/v1/decisions?value={RANGE.replace('/', '%2F')}").body["changed"]
    until("both are lifted", lambda: status(banned, host) == status(ranged, host) == 200, within=WITHIN)
    assert not tasks.run("decision", value=BY_MODULE, state="absent").changed


def test_the_address_that_the_play_comes_from_is_refused(tasks: Tasks, guest: Guest) -> None:
    own = guest.run("sh", "-c", "echo ${SSH_CONNECTION%% *}").strip()
    refused = tasks.run("decision", value=own)
    assert refused.failed
    assert "your own address" in refused.result["msg"]
    assert tasks.run("decision", "--check", value=own, force=True).changed


def test_crowdsec_away_is_told_from_stale_credentials_and_both_are_mended(
    guest: Guest, api: AdminApi, new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-open')}/"
    banned = new_visitor(BY_MODULE)
    ban = {"value": BY_MODULE, "duration": "1h"}
    assert api.request("PUT", "/v1/decisions", ban).status == 200
    until("the ban", lambda: status(banned, host) == 403, within=WITHIN)

    guest.systemctl("restart", "crowdsec")  # the token that the runtime holds dies with it
    until("LAPI is back", lambda: api.request("GET", "/v1/decisions").status == 200, within=60)
    assert api.request("PUT", "/v1/decisions", {**ban, "duration": "2h"}).status == 200

    machine = json.loads(guest.run("cat", "/etc/argos/crowdsec-machine"))["login"]
    guest.run("cscli", "machines", "delete", machine)
    guest.run("cscli", "bouncers", "delete", "argos-caddy")
    guest.systemctl("restart", "crowdsec")
    until("LAPI refuses", lambda: "stale" in str(api.request("DELETE", "/v1/decisions/1").body), within=60)
    assert health(api, "CrowdSec credentials")["state"] == "failed"
    answer = api.request("PUT", "/v1/decisions", {**ban, "duration": "3h"})
    assert (answer.status, "argos crowdsec credentials" in answer.error["message"]) == (503, True)
    assert status(banned, host) == 403, "a known ban holds all the while"

    made = json.loads(guest.run("argos", "crowdsec", "credentials", "--json"))
    assert made["made"] == ["bouncer", "machine"]
    assert api.request("PUT", "/v1/decisions", {**ban, "duration": "3h"}).status == 200
    until("all is well", lambda: health(api, "CrowdSec credentials")["state"] == "ok", within=60)
    assert api.request("DELETE", f"/v1/decisions?value={BY_MODULE}").body["changed"]
    until("Caddy has the new key: the ban is lifted", lambda: status(banned, host) == 200, within=60)
    assert json.loads(guest.run("argos", "crowdsec", "credentials", "--json"))["changed"] is False

    guest.systemctl("stop", "crowdsec")
    try:
        answer = api.request("GET", "/v1/decisions")
        assert (answer.status, answer.error["code"]) == (503, "unavailable")
        assert health(api, "CrowdSec")["state"] == "failed"
    finally:
        guest.systemctl("start", "crowdsec")
    until("it is back", lambda: api.request("GET", "/v1/decisions").status == 200, within=60)


def test_the_whitelist_lets_in_whom_a_decision_keeps_out(
    api: AdminApi, crowdsec: CrowdSec, new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-open')}/"
    exempt, beside = new_visitor(EXEMPT), new_visitor(BESIDE)
    before = api.settings().get("crowdsec", {"enabled": True})

    def declare(settings: dict) -> int:
        owner = "site"
        return api.request("POST", "/v1/config/apply", {"owner": owner, "settings": {"crowdsec": settings}}).status

    assert declare({**before, "whitelist": [{"value": EXEMPT, "reason": "e2e"}]}) == 200
    try:
        crowdsec.ban(cidr="198.51.100.192/28")
        refused = api.request("PUT", "/v1/decisions", {"value": EXEMPT, "force": True})
        assert (refused.status, "exempts" in refused.error["message"]) == (400, True)
        began = time.monotonic()
        until("the range is banned", lambda: status(beside, host) == 403, within=WITHIN)
        steadily(
            "the exempt one passes", lambda: status(exempt, host) == 200, during=max(2, 12 + began - time.monotonic())
        )
    finally:
        assert declare({**before, "whitelist": []}) == 200
    until("exempt no more", lambda: status(exempt, host) == 403, within=60)
    crowdsec.unban(cidr="198.51.100.192/28")
    until("lifted", lambda: status(exempt, host) == 200, within=WITHIN)
