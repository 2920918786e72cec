"""Decisions through the admin API, the panel and the command line, over a LAPI of our own."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest
from hostile_lapi import PASSWORD, HostileLapi
from panel_runtime import Browser, Runtime
from stored_credentials import give_credentials

VALUE = "203.0.113.7"


def put(runtime: Runtime, *, check: bool = False, expected: int = 200, **ban: object) -> dict:
    answer = runtime.admin("PUT", "/v1/decisions" + ("?check=true" if check else ""), ban)
    assert answer.status_code == expected, answer.text
    return answer.json()


def audited(runtime: Runtime) -> list[tuple]:
    return runtime.rows("SELECT action, target, actor FROM audit WHERE action LIKE 'decision.%' ORDER BY id")


def made_by_hand(runtime: Runtime, lapi: HostileLapi) -> int:
    """The id of a new decision."""
    wanted = {"value": VALUE, "scope": "ip", "duration": "1h", "reason": "by hand"}
    assert runtime.admin("PUT", "/v1/decisions", wanted).json()["changed"] is True
    return int(lapi.standing()[0]["id"])


def test_a_ban_is_planned_made_kept_changed_and_ended(runtime: Runtime, lapi: HostileLapi) -> None:
    rows = len(audited(runtime))
    wanted = {"value": VALUE, "duration": "7d", "reason": "floods the shop"}
    after = {"value": VALUE, "scope": "ip", "duration": "7d", "reason": "floods the shop"}
    planned = put(runtime, check=True, **wanted)
    assert planned == {"changed": True, "before": None, "after": after, "warnings": []}
    assert lapi.standing() == []
    assert len(audited(runtime)) == rows

    assert put(runtime, **wanted) == planned
    [made] = lapi.standing()
    assert (made["value"], made["scope"], made["origin"], made["type"]) == (VALUE, "Ip", "argos", "ban")
    assert made["until"] - time.time() == pytest.approx(7 * 86400, abs=60)
    assert put(runtime, **wanted) == {**planned, "changed": False, "before": after}
    assert put(runtime, check=True, **wanted)["changed"] is False
    assert [one["id"] for one in lapi.standing()] == [made["id"]]

    longer = put(runtime, **{**wanted, "duration": "8d"})
    assert (longer["before"], longer["after"]["duration"]) == (after, "8d")
    [other] = lapi.standing()
    assert other["id"] != made["id"]

    ended = runtime.admin("DELETE", f"/v1/decisions?value={VALUE}")
    assert ended.json()["before"]["decisions"] == [
        {"id": other["id"], "origin": "argos", "type": "ban", "reason": "floods the shop"}
    ]
    assert lapi.standing() == []
    again = runtime.admin("DELETE", f"/v1/decisions?value={VALUE}")
    assert again.json() == {"changed": False, "before": None, "after": None, "warnings": []}
    assert [row[:2] for row in audited(runtime)[rows:]] == [
        ("decision.add", f"decision/{VALUE}"),
        ("decision.add", f"decision/{VALUE}"),
        ("decision.delete", f"decision/{VALUE}"),
    ]
    told = runtime.rows("SELECT after FROM audit WHERE action = 'decision.add' ORDER BY id DESC LIMIT 1")[0][0]
    assert json.loads(told) == {"address": VALUE, "scope": "ip", "duration": "8d", "reason": "floods the shop"}


@pytest.mark.parametrize(
    ("given", "value", "scope"),
    [
        ("203.0.113.0/24", "203.0.113.0/24", "Range"),
        ("2001:DB8::7", "2001:db8::7", "Ip"),
        ("2001:db8:5::/48", "2001:db8:5::/48", "Range"),
        ("203.0.113.7/32", "203.0.113.7", "Ip"),
        ("::ffff:203.0.113.7", "203.0.113.7", "Ip"),
    ],
)
def test_ranges_and_ipv6_have_one_spelling(
    runtime: Runtime, lapi: HostileLapi, given: str, value: str, scope: str
) -> None:
    assert put(runtime, value=given)["after"]["value"] == value
    assert [(one["value"], one["scope"]) for one in lapi.standing()] == [(value, scope)]
    assert put(runtime, value=value)["changed"] is False
    assert runtime.admin("DELETE", f"/v1/decisions?value={quote(given, safe='')}").status_code == 200
    assert lapi.standing() == []


def test_a_ban_of_ours_that_lapi_lost_is_made_again(runtime: Runtime, lapi: HostileLapi) -> None:
    put(runtime, value=VALUE)
    lapi.decisions.clear()
    assert put(runtime, value=VALUE)["changed"]
    assert len(lapi.standing()) == 1


def test_decisions_of_others_stay_beside_ours_until_the_address_is_let_in(runtime: Runtime, lapi: HostileLapi) -> None:
    lapi.decide(VALUE)
    around = lapi.decide("203.0.113.0/24", origin="CAPI", scenario="community")
    put(runtime, value=VALUE, duration="1h")
    assert len(lapi.standing()) == 3
    ended = runtime.admin("DELETE", f"/v1/decisions?value={VALUE}").json()
    assert [one["origin"] for one in ended["before"]["decisions"]] == ["argos", "crowdsec"]
    assert [one["id"] for one in lapi.standing()] == [around]
    assert ended["warnings"] == [f"{VALUE} stays banned by 203.0.113.0/24 (CAPI: community)"]


def test_the_list_is_filtered_and_paged(runtime: Runtime, lapi: HostileLapi) -> None:
    for number in range(30):
        lapi.decide(f"203.0.113.{number}")
    lapi.decide("203.0.113.0/28", origin="CAPI", scenario="firehol")
    lapi.decide("2001:db8::1", origin="lists", scenario="tor")

    def found(query: str) -> list[str]:
        answer = runtime.admin("GET", f"/v1/decisions?{query}")
        assert answer.status_code == 200, answer.text
        return [one["value"] for one in answer.json()["decisions"]]

    page = runtime.admin("GET", "/v1/decisions?limit=5&offset=2").json()
    assert (page["total"], page["limit"], page["offset"], len(page["decisions"])) == (32, 5, 2, 5)
    assert found("limit=5&offset=2") == [f"203.0.113.{n}" for n in (29, 28, 27, 26, 25)]
    assert found("ip=203.0.113.7") == ["203.0.113.0/28", "203.0.113.7"]
    assert set(found("range=203.0.113.28%2F30")) == {"203.0.113.28", "203.0.113.29"}
    assert found("origin=lists") == ["2001:db8::1"]
    assert found("scenario=FireHOL") == ["203.0.113.0/28"]
    for wrong in (
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "ip=nowhere",
        "range=a",
        "colour=red",
        "limit=1&limit=2",
    ):
        answer = runtime.admin("GET", f"/v1/decisions?{wrong}")
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["errors"][0]["field"] in {"limit", "offset", "ip", "range", "colour"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("10.1.2.3", "a private range"),
        ("127.0.0.1", "an address of this machine"),
        ("0.0.0.0/8", "a private range"),
        ("172.0.0.0/8", "a private range"),
        ("fd00::1", "a private range"),
        ("100.64.7.7", "a private range"),
        ("127.0.0.2", "a declared auth proxy"),
        ("192.0.2.44", "your own address"),
        ("192.0.2.0/24", "your own address"),
    ],
)
def test_whom_one_would_not_ban_on_purpose_takes_force(
    runtime: Runtime, lapi: HostileLapi, value: str, why: str
) -> None:
    ban = {"value": value, "caller_addresses": ["192.0.2.44"]}
    for check in (True, False):
        refused = put(runtime, check=check, expected=400, **ban)["error"]["errors"]
        assert [(one["field"], why in one["problem"], one["expected"]) for one in refused] == [
            ("value", True, "another one, or force")
        ]
    assert lapi.standing() == []
    assert put(runtime, force=True, **ban)["changed"]
    assert [one["value"] for one in lapi.standing()] == [value]


def test_what_is_exempt_is_never_banned_and_a_range_around_it_may_be(runtime: Runtime, lapi: HostileLapi) -> None:
    for value in ("198.51.100.70", "198.51.100.64/27"):
        refused = put(runtime, value=value, force=True, expected=400)["error"]["errors"]
        assert "whitelist exempts (198.51.100.64/26)" in refused[0]["problem"]
    assert put(runtime, value="198.51.100.0/24")["changed"]


def test_all_mistakes_are_told_at_once(runtime: Runtime, lapi: HostileLapi) -> None:
    refused = put(runtime, value="203.0.113.9/24", duration="2 days", reason="", expected=400)["error"]["errors"]
    assert [one["field"] for one in refused] == ["value", "duration", "reason"]
    for duration in ("8761h", "59s", "-4h", "4", "", "1e9h", "9" * 30 + "h"):
        assert put(runtime, value=VALUE, duration=duration, expected=400)["error"]["errors"][0]["field"] == "duration"
    for value in (
        "",
        "0.0.0.0/0",
        "1.2.3.4/7",
        "::/0",
        "1.2.3.4%eth0",
        "fe80::1%x\r\n",
        "a" * 5000,
        "203.0.113.7,1.1.1.1",
    ):
        assert put(runtime, value=value, force=True, expected=400)["error"]["errors"][0]["field"] == "value"
    assert put(runtime, value=VALUE, scope="range", expected=400)["error"]["errors"][0]["field"] == "scope"
    assert lapi.count("/v1/alerts") == 0


@pytest.mark.threat("DEP-4")
def test_no_text_of_ours_becomes_a_line_or_a_header_of_its_own(runtime: Runtime, lapi: HostileLapi) -> None:
    for reason in ("a\nFATAL: b", "a\r\nX-Api-Key: b", "\x1b[2Ja", "\u202eevil", "a\0b", "x" * 201):
        assert put(runtime, value=VALUE, reason=reason, expected=400)["error"]["errors"][0]["field"] == "reason"
    for value in ("203.0.113.7\r\nX: y", "203.0.113.7%0d%0aX:y", "203.0.113.7&type=captcha", "../../heartbeat"):
        assert runtime.admin("DELETE", f"/v1/decisions?value={quote(value, safe='')}").status_code == 400
    for number in ("1%2F..%2F..%2Fheartbeat", "-1", "x", "1%0d%0a", "\uff19"):
        assert runtime.admin("DELETE", f"/v1/decisions/{number}").status_code == 404
    put(runtime, value=VALUE, reason='"}],"x":[{"')
    assert [one["scenario"] for one in lapi.standing()] == ['"}],"x":[{"']
    assert {path for _m, path, _h, _b in lapi.received} <= {"/v1/decisions", "/v1/alerts", "/v1/watchers/login"}


def test_the_panel_bans_finds_and_ends_and_names_the_address_that_one_comes_from(
    runtime: Runtime, lapi: HostileLapi
) -> None:
    browser = Browser(runtime, address="198.51.100.9")
    browser.sign_in("root-admin")
    assert "Nobody is banned" in browser.get("/decisions").text
    own = browser.post("/decisions", {"do": "add", "value": "198.51.100.9", "duration": "1h", "reason": "oops"})
    assert own.status_code == 400
    assert "your own address" in own.text
    assert 'value="oops"' in own.text
    done = browser.post("/decisions", {"do": "add", "value": VALUE, "duration": "1h", "reason": "<b>scans</b>"})
    assert f"{VALUE} is banned." in done.text
    assert "&lt;b&gt;scans&lt;/b&gt;" in done.text
    assert runtime.rows("SELECT actor, address FROM audit WHERE action = 'decision.add' ORDER BY id DESC LIMIT 1") == [
        ("user:root-admin", "198.51.100.9")
    ]
    assert VALUE in browser.get("/decisions?q=203.0.113.0%2F24").text
    assert "No ban matches" in browser.get("/decisions?q=203.0.114.0%2F24").text
    ended = browser.post("/decisions", {"do": "end", "id": str(lapi.standing()[0]["id"])})
    assert f"The ban on {VALUE} has been lifted." in ended.text
    assert audited(runtime)[-1] == ("decision.delete", f"decision/{VALUE}", "user:root-admin")
    by_number = made_by_hand(runtime, lapi)
    assert runtime.admin("DELETE", f"/v1/decisions/{by_number}").json()["changed"] is True
    assert audited(runtime)[-1][:2] == ("decision.delete", f"decision/{VALUE}")
    assert browser.post("/decisions", {"do": "end", "id": "77"}).status_code == 404
    member = Browser(runtime)
    member.sign_in("alice")
    assert member.get("/decisions").status_code == 403


def test_the_command_line_bans_lists_and_ends(runtime: Runtime, lapi: HostileLapi) -> None:
    made = runtime.argos("decision", "add", VALUE, "--duration", "1d", "--reason", "scans", "--json")
    assert json.loads(made.stdout)["changed"], made.stderr
    own = runtime.argos("decision", "add", "203.0.113.77", SSH_CONNECTION="203.0.113.77 50000 192.0.2.1 22")
    assert (own.returncode, "your own address" in own.stderr) == (1, True)
    listed = runtime.argos("decision", "list", "--origin", "argos")
    assert VALUE in listed.stdout
    assert "scans" in listed.stdout
    assert runtime.argos("decision", "delete", VALUE).returncode == 0
    assert lapi.standing() == []
    assert runtime.argos("decision", "delete", VALUE).returncode == 66
    assert runtime.argos("decision", "delete").returncode == 2


def test_new_credentials_are_used_at_once_and_never_told(runtime: Runtime, lapi: HostileLapi) -> None:
    lapi.password = "a-password-made-anew"
    refused = put(runtime, value=VALUE, expected=503)["error"]
    assert "sudo argos crowdsec credentials" in refused["message"]
    give_credentials(runtime, password="a-password-made-anew")
    assert put(runtime, value=VALUE)["changed"]
    everything = runtime.log.read_text() + str(runtime.rows("SELECT * FROM audit")) + json.dumps(refused)
    for secret in (PASSWORD, "a-password-made-anew", lapi.key, *lapi.tokens):
        assert secret not in everything
