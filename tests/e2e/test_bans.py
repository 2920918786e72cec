"""CrowdSec's decisions are in force before any other handler, and outlive CrowdSec and Caddy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from lab import http3
from lab.admin_api import Declaration
from lab.crowdsec import CrowdSec
from lab.guest import Guest
from lab.namespace import VISITORS, PublicNetwork
from lab.people import Panel
from lab.polling import steadily, until
from lab.visitor import Visitor

WITHIN = 20  # seconds: ING-3
RANGE = "198.51.100.224/28"
IN_RANGE = str(VISITORS[230])
BESIDE_RANGE = str(VISITORS[241])
ADDRESS = str(VISITORS[251])
KEPT = str(VISITORS[252])
SCANNER = str(VISITORS[253])


@pytest.fixture(autouse=True)
def without_decisions(crowdsec: CrowdSec) -> Iterator[None]:
    yield
    crowdsec.forgive()


def status(client: Visitor, url: str) -> int:
    with suppress(httpx.TransportError):
        return client.get(url).status_code
    return 0


@pytest.mark.threat("ING-3")
def test_a_ban_is_in_force_within_20_seconds_everywhere_and_lifted_as_fast(
    guest: Guest,
    network: PublicNetwork,
    crowdsec: CrowdSec,
    new_visitor: Callable[..., Visitor],
    declaration: Declaration,
    panel: Panel,
) -> None:
    host = f"https://{declaration.name('e2e-open')}/"
    one, member, beside = new_visitor(ADDRESS), new_visitor(IN_RANGE), new_visitor(BESIDE_RANGE)
    assert [status(client, host) for client in (one, member, beside)] == [200, 200, 200]

    crowdsec.ban(ip=ADDRESS)
    crowdsec.ban(cidr=RANGE)
    until("both bans", lambda: status(one, host) == status(member, host) == 403, within=WITHIN)
    assert status(beside, host) == 200

    for banned in (one, member):
        assert status(banned, panel.url + "/login") == 403, "the panel's host too"
        assert status(banned, f"http://{declaration.name('e2e-open')}/") == 403, "port 80 too"
        assert status(banned, f"https://{declaration.name('e2e-guarded')}/") == 403, "before sign-on"
        assert status(new_visitor(banned.address, http2=True), host) == 403
        answer = http3.ask(guest, network, declaration.name("e2e-open"), "/", source=banned.address)
        assert answer.status == 403

    crowdsec.unban(ip=ADDRESS)
    crowdsec.unban(cidr=RANGE)
    until("both are lifted", lambda: status(one, host) == status(member, host) == 200, within=WITHIN)


@pytest.mark.threat("ING-3")
@pytest.mark.threat("DEP-4")
def test_known_bans_hold_and_others_pass_with_crowdsec_dead_and_caddy_restarted(
    guest: Guest, crowdsec: CrowdSec, new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    host = f"https://{declaration.name('e2e-open')}/"
    banned, other = new_visitor(KEPT), new_visitor()
    crowdsec.ban(ip=KEPT)
    until("the ban", lambda: status(banned, host) == 403, within=WITHIN)
    guest.systemctl("stop", "crowdsec")
    try:

        def both() -> bool:
            return (status(banned, host), status(other, host)) == (403, 200)

        steadily("the ban holds and others pass", both, during=4)
        guest.systemctl("restart", "argos-caddy")
        until("Caddy serves again", lambda: status(other, host) == 200, within=60)
        steadily("the ban outlived Caddy", both, during=3)
    finally:
        guest.systemctl("start", "crowdsec")
    crowdsec.unban(ip=KEPT)
    until("the ban is lifted once CrowdSec is back", lambda: status(banned, host) == 200, within=WITHIN + 40)


@pytest.mark.threat("ING-4")
def test_a_scan_for_what_is_not_there_is_banned_by_crowdsec_itself(
    crowdsec: CrowdSec, new_visitor: Callable[..., Visitor], more_hosts, declaration: Declaration
) -> None:
    missing = {"type": "fixed_response", "status": 404, "body": "not here"}
    more_hosts(
        declaration.host("e2e-scanned", rules=[{"priority": 1, "match": {"path": ["/gone/*"]}, "action": missing}])
    )
    host = f"https://{declaration.name('e2e-scanned')}"
    scanner, other = new_visitor(SCANNER), new_visitor()
    for number in range(15):
        assert status(scanner, f"{host}/gone/{number}.php") in (403, 404)
    until("CrowdSec bans the scanner", lambda: status(scanner, f"{host}/") == 403, within=240)
    assert status(other, f"{host}/") == 200
    decision = next(found for found in crowdsec.decisions() if found["value"] == SCANNER)
    assert decision["origin"] == "crowdsec", decision
    assert "http-" in decision["scenario"], decision


@pytest.mark.threat("ING-3")
def test_the_address_that_is_judged_is_the_connections_own(
    crowdsec: CrowdSec, new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    """A banned client cannot borrow another's address, nor lend its ban to one."""
    host = f"https://{declaration.name('e2e-open')}/"
    banned, other = new_visitor(ADDRESS), new_visitor()
    crowdsec.ban(ip=ADDRESS)
    until("the ban", lambda: status(banned, host) == 403, within=WITHIN)
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Argos-Client-Ip", "CF-Connecting-IP", "True-Client-IP"):
        assert banned.get(host, headers={name: other.address}).status_code == 403, name
        assert other.get(host, headers={name: ADDRESS}).status_code == 200, name
