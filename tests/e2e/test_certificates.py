"""Certificates from a private CA and of the operator's own, declared by the modules and served by the real edge."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import CHECKOUT, Guest
from lab.namespace import PublicNetwork
from lab.people import Panel, People
from lab.playbook import Tasks
from lab.polling import until
from lab.visitor import Visitor

sys.path.insert(0, str(CHECKOUT / "tests" / "acme"))

from acme import Authority, Pebble

pytestmark = pytest.mark.timeout(1500)  # the CA's program is built where it never was
OWNER = "e2e-certificates"
TOKEN = "cf-e2e-T0ken_that-nobody-may-ever-read-4711"
KEPT = "/var/lib/argos-caddy/caddy/argos-certificates"


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


@pytest.fixture(autouse=True)
def nothing_left(api: AdminApi) -> Iterator[None]:
    yield
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "prune": True}).status == 200
    for secret in ("e2e-own-key", "e2e-cloudflare"):
        api.request("DELETE", f"/v1/secrets/{secret}")


@pytest.fixture(scope="module")
def pebble(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """Run a private CA outside the guest, for which every name is the guest's."""
    place = tmp_path_factory.mktemp("pebble")
    with Pebble(place, 80, 443, address=guest.gateway, resolves_to=guest.address) as running:
        yield running


@pytest.fixture
def trusting(guest: Guest, network: PublicNetwork, tmp_path: Path) -> Iterator[Callable[[str], Visitor]]:
    """Return a function that makes clients which trust one root and no other."""
    made: list[Visitor] = []

    def make(root: str) -> Visitor:
        file = tmp_path / f"root-{len(made)}.pem"
        file.write_text(root)
        made.append(Visitor(guest, network, authority=file))
        return made[-1]

    yield make
    for one in made:
        one.close()


def listed(guest: Guest) -> dict[str, dict[str, Any]]:
    """What ``argos certificates`` says, by name; it exits with 1 when one is not as it should be."""
    _unused, printed, complaint = guest.attempt("argos", "certificates", "--json")
    assert printed, complaint
    return {one["name"]: one for one in json.loads(printed)["certificates"]}


def test_hosts_get_certificates_from_a_private_ca_by_either_challenge(
    tasks: Tasks,
    guest: Guest,
    declaration: Declaration,
    pebble: Pebble,
    trusting: Callable[[str], Visitor],
    new_visitor: Callable[..., Visitor],
    people: People,
    panel: Panel,
) -> None:
    ours = {"mode": "auto", "ca": pebble.directory, "ca_root": pebble.authority.pem}
    hosts = [
        declaration.host("e2e-by-http", tls=ours),
        declaration.host("e2e-by-alpn", tls={**ours, "challenge": "tls-alpn"}),
    ]
    names = {host["name"] for host in hosts}
    document = {"owner": OWNER, "prune": True, "hosts": hosts}
    planned = tasks.run("config", "--check", "--diff", **document)
    assert planned.changed
    assert not names & listed(guest).keys(), "check mode changed something"
    applied = tasks.run("config", "--diff", **document)
    assert applied.result["diff"] == planned.result["diff"]

    def issued() -> bool:
        found = listed(guest)
        return all(found[name]["condition"] == "valid" for name in names)

    until("the CA signs for both", issued, within=240)  # Caddy's second try comes after a minute
    by_http = set(re.findall(r"validate w/ HTTP: http://([^:/]+)", pebble.log()))
    assert by_http & names == {hosts[0]["name"]}, "the other one was proven on port 443"
    client = trusting(pebble.root())
    for name in names:
        assert client.get(f"https://{name}/").status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        new_visitor().get(f"https://{hosts[0]['name']}/")
    [told] = tasks.run("certificate_info", name=hosts[0]["name"]).result["certificates"]
    assert (told["source"], told["condition"], told["error"]) == ("auto", "valid", "")
    assert told["issuer"].startswith("Pebble Intermediate")
    assert told["not_after"] > told["renew_at"] > told["not_before"]
    assert f"{hosts[0]['name']}: valid, auto, by {told['issuer']}, until " in guest.attempt("argos", "certificates")[1]
    admin = new_visitor()
    panel.sign_in(admin, people.create("e2e-keeper", role="admin", must_change=False))
    page = admin.navigate(f"{panel.url}/certificates").text
    assert all(text in page for text in (*names, told["issuer"]))
    assert not tasks.run("config", **document).changed


def kept_files(guest: Guest) -> list[str]:
    """Mode, owner, group and name of each certificate of the operator's own, and of their directory."""
    return guest.shell(f"stat -c '%a %U:%G %n' {KEPT} {KEPT}/* 2>/dev/null || true").splitlines()


@pytest.mark.threat("SEC-3")
def test_a_certificate_of_ones_own_is_served_replaced_and_taken_back_when_nobody_uses_it(
    tasks: Tasks,
    guest: Guest,
    api: AdminApi,
    declaration: Declaration,
    trusting: Callable[[str], Visitor],
    tmp_path: Path,
) -> None:
    name, first, second = declaration.name("e2e-own"), Authority(tmp_path / "one"), Authority(tmp_path / "two")
    chain, key = first.sign(name)
    assert api.request("PUT", "/v1/secrets/e2e-own-key", {"value": key}).status == 200
    own = {"owner": OWNER, "name": "e2e-own", "certificate": chain, "key": {"secret": "e2e-own-key"}}
    planned = tasks.run("certificate", "--check", "--diff", **own)
    assert planned.changed
    assert "certificate/e2e-own" not in listed(guest)
    made = tasks.run("certificate", "--diff", **own)
    assert made.result["diff"] == planned.result["diff"]
    assert "BEGIN CERTIFICATE" in made.result["diff"][0]["after"]
    assert not tasks.run("certificate", "--check", **own).changed
    assert listed(guest)["certificate/e2e-own"]["condition"] == "unused"

    host = declaration.host("e2e-own", tls={"mode": "manual", "certificate": "e2e-own"})
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "hosts": [host]}).status == 200
    url = f"https://{name}/"
    assert until("it is served", lambda: trusting(first.pem).get(url).status_code == 200, within=60)
    directory, file = kept_files(guest)
    assert directory == f"700 argos-caddy:argos-caddy {KEPT}"
    assert file.startswith(f"400 argos-caddy:argos-caddy {KEPT}/e2e-own.")
    line = key.splitlines()[1]
    holders = guest.shell("grep -rlF -f - /etc /run/argos* /var/lib/argos* /var/log || true", stdin=line).split()
    assert holders == [file.split()[2]], "the key stands elsewhere too"

    used = tasks.run("certificate", name="e2e-own", state="absent")
    assert used.failed
    assert name in used.result["msg"]
    stranger = tasks.run("certificate", **{**own, "certificate": second.sign(name)[0]})
    assert "not the key of this certificate" in stranger.result["msg"]

    chain, newer = second.sign(name)
    assert api.request("PUT", "/v1/secrets/e2e-own-key", {"value": newer}).status == 200
    replaced = tasks.run("certificate", "--diff", **{**own, "certificate": chain})
    assert [change["action"] for change in replaced.result["changes"]] == ["update"]
    assert trusting(second.pem).get(url).status_code == 200
    with pytest.raises(httpx.ConnectError):
        trusting(first.pem).get(url)
    _directory, after = kept_files(guest)
    assert after != file, "the former key is gone"
    printed = "".join(ran.printed for ran in (planned, made, used, stranger, replaced))
    assert not [text for text in (line, newer.splitlines()[1]) if text in printed]

    assert (
        api.request("POST", "/v1/config/apply", {"owner": OWNER, "hosts": [{**host, "state": "absent"}]}).status == 200
    )
    assert tasks.run("certificate", name="e2e-own", state="absent").changed
    assert kept_files(guest) == [directory]


@pytest.mark.threat("SEC-3")
def test_a_dns_providers_token_reaches_caddy_and_is_shown_to_nobody(
    tasks: Tasks, guest: Guest, api: AdminApi, declaration: Declaration, pebble: Pebble
) -> None:
    """Nobody answers for Cloudflare here: what is proven is that the attempt is told and quotes no token."""
    assert api.request("PUT", "/v1/secrets/e2e-cloudflare", {"value": TOKEN}).status == 200
    provider = {"owner": OWNER, "name": "e2e-cf", "type": "cloudflare", "api_token": {"secret": "e2e-cloudflare"}}
    planned = tasks.run("dns_provider", "--check", "--diff", **provider)
    made = tasks.run("dns_provider", "--diff", **provider)
    assert made.changed
    assert made.result["diff"] == planned.result["diff"]
    assert not tasks.run("dns_provider", "--check", **provider).changed
    tls = {
        "mode": "auto",
        "challenge": "dns",
        "dns_provider": "e2e-cf",
        "ca": pebble.directory,
        "ca_root": pebble.authority.pem,
    }
    host = declaration.host("e2e-by-dns", tls=tls)
    applied = api.request("POST", "/v1/config/apply", {"owner": OWNER, "hosts": [host]})
    assert applied.status == 200, applied
    failing = until("the attempt is told", lambda: listed(guest)[host["name"]]["error"], within=240)
    used = tasks.run("dns_provider", name="e2e-cf", state="absent")
    assert host["name"] in used.result["msg"]
    printed = "".join(ran.printed for ran in (planned, made, used))
    assert TOKEN not in failing + printed
    assert guest.shell("grep -rlF -f - /etc /var/lib/argos* /var/log || true", stdin=TOKEN).split() == []
    assert TOKEN not in guest.run(
        "journalctl", "--no-pager", "-q", "-u", "argos", "-u", "argos-caddy", "--since=-10min"
    )
    assert (
        guest.shell("stat -c '%a %U:%G' /run/argos-credentials/secret-e2e-cloudflare").strip()
        == "440 argos:argos-caddy"
    )
