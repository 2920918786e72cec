"""What CrowdSec makes of the edge's access log, asked of the real ``cscli`` with lines as Caddy's."""

from __future__ import annotations

import json

import pytest
from lab.guest import Guest

STRANGER = "203.0.113.200"


def log_line(client_ip: str, uri: str, *, remote_ip: str = "198.51.100.1", status: int = 404) -> str:
    """Return a line as Caddy writes it; ``remote_ip`` is the proxy in front, ``client_ip`` whom Caddy decided on."""
    request = {"remote_ip": remote_ip, "client_ip": client_ip, "proto": "HTTP/2.0", "method": "GET", "uri": uri}
    request |= {"host": "photos.home.test", "headers": {"User-Agent": ["Mozilla/5.0"]}}
    return json.dumps(
        {"ts": "2026-01-02T03:04:05.678Z", "logger": "http.log.access", "request": request, "status": status}
    )


def explain(guest: Guest, line: str) -> str:
    """Return cscli's account of the line: parsers, their fields, and the scenarios that it feeds."""
    return guest.run("cscli", "explain", "--type", "argos-caddy", "--log", line, "-v")


@pytest.mark.threat("ING-4")
def test_a_404_feeds_probing_and_crawling_under_the_address_that_caddy_decided_on(guest: Guest) -> None:
    told = explain(guest, log_line(STRANGER, "/wp-login.php?x=1&y=%2F"))
    assert f"create evt.Meta.source_ip : {STRANGER}" in told
    assert "198.51.100.1" not in told.replace('"remote_ip": "198.51.100.1"', "")
    assert "parser success" in told
    for scenario in ("crowdsecurity/http-probing", "crowdsecurity/http-crawl-non_statics"):
        assert scenario in told.partition("Scenarios")[2]


@pytest.mark.threat("ING-4")
def test_path_traversal_is_recognised_although_the_package_misnames_its_patterns(guest: Guest) -> None:
    told = explain(guest, log_line(STRANGER, "/static/../../../../etc/passwd"))
    assert "crowdsecurity/http-path-traversal-probing" in told.partition("Scenarios")[2]


def test_a_private_address_is_exempt(guest: Guest) -> None:
    for address in ("192.168.7.7", "10.9.8.7", "fd00::1"):
        told = explain(guest, log_line(address, "/wp-login.php"))
        assert "argos/whitelist" in told
        assert "Scenarios" not in told, told


def test_what_is_no_address_bans_nobody(guest: Guest) -> None:
    for odd in ("", "not an address", f"{STRANGER}, 10.0.0.1", "203.0.113.0/24"):
        assert "parser failure" in explain(guest, log_line(odd, "/wp-login.php"))


def test_the_local_api_answers_on_loopback_only_and_nothing_else_of_crowdsec_listens(guest: Guest) -> None:
    listening = [line.split() for line in guest.run("ss", "-Hltnp").splitlines() if '"crowdsec"' in line]
    assert [fields[3] for fields in listening] == ["127.0.0.1:8080"]


@pytest.mark.threat("SEC-3")
def test_crowdsecs_credentials_are_roots_alone_and_in_no_log(guest: Guest) -> None:
    kept = "/etc/argos/crowdsec-bouncer-key /etc/argos/crowdsec-machine"
    assert guest.shell(f"stat -c '%U %a' {kept}").split() == ["root", "600", "root", "600"]
    found = guest.shell(
        "key=$(cat /etc/argos/crowdsec-bouncer-key);"
        ' password=$(python3 -c \'import json; print(json.load(open("/etc/argos/crowdsec-machine"))["password"])\');'
        ' printf "%s\\n%s\\n" "$key" "$password" > /run/planted; chmod 600 /run/planted;'
        " { journalctl --no-pager | grep -c -F -f /run/planted; grep -r -l -F -f /run/planted /var/log; } || true;"
        " rm -f /run/planted"
    )
    assert found.split() == ["0"]
