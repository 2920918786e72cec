"""The guest boots again: whole, with the runtime masked, with a wrong master key. Last, as it disturbs everything."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from lab.admin_api import Declaration
from lab.boot_watch import Watch, ask_directly, watching
from lab.crowdsec import CrowdSec
from lab.echo import Received
from lab.guest import Guest
from lab.namespace import VISITORS, PublicNetwork
from lab.people import Panel, Person
from lab.polling import steadily, until
from lab.visitor import Visitor

BANNED = str(VISITORS[251])
ENVIRONMENT = "/etc/argos/argos.env"
DENIALS = {302, 401, 403}

Reboot = Callable[[Visitor], Watch]


@pytest.fixture
def reboot(guest: Guest, network: PublicNetwork, declaration: Declaration) -> Reboot:
    """Return a function that boots the guest and tells what was answered meanwhile."""
    protected, public = declaration.name("e2e-guarded"), declaration.name("e2e-open")

    def act(member: Visitor) -> Watch:
        cookie = f"__Secure-argos_session={member.http.cookies['__Secure-argos_session']}"
        with watching(guest, protected=protected, public=public, cookie=cookie) as seen:
            guest.wait_for_boot(guest.begin_reboot())
            for host, sent in ((public, ""), (protected, cookie)):
                until(f"{host} serves", lambda h=host, c=sent: ask_directly(guest, h, c, 60) == 200, within=240)
            steadily("strangers are denied", lambda: ask_directly(guest, protected, timeout=60) in DENIALS, during=2)
        network.tell_the_guest()
        return seen

    return act


def protected_throughout(seen: Watch) -> None:
    """Demand that no answer of the whole boot let a stranger in or sent a member away."""
    assert seen.stranger[200] == 0, seen
    assert sum(seen.stranger[status] for status in DENIALS) > 0, seen
    assert not DENIALS & set(seen.member), seen
    assert seen.member[200] > 0, seen
    assert seen.public[200] > 0, seen


def status(client: Visitor, url: str) -> int:
    with suppress(httpx.TransportError):
        return client.get(url).status_code
    return 0


@pytest.fixture
def ban(crowdsec: CrowdSec, new_visitor, declaration: Declaration) -> Iterator[Visitor]:
    """Return a client that is banned before the boot, and is let go afterwards."""
    client = new_visitor(BANNED)
    crowdsec.ban(ip=BANNED)
    until("the ban", lambda: status(client, f"https://{declaration.name('e2e-open')}/") == 403, within=20)
    yield client
    crowdsec.forgive()


@pytest.mark.threat("FWD-2")
@pytest.mark.threat("FWD-3")
def test_a_reboot_is_protected_from_the_first_request_and_keeps_sessions(
    signed_in: Visitor, alice: Person, reboot: Reboot, panel: Panel, declaration: Declaration, new_visitor
) -> None:
    protected_throughout(reboot(signed_in))
    again = new_visitor()
    again.http.cookies = signed_in.http.cookies
    answer = again.get(f"https://{declaration.name('e2e-guarded')}/")
    assert Received.of(answer.content).one("x-auth-user") == alice.username
    until("the panel serves", lambda: status(again, f"{panel.url}/") == 200, within=240)


@pytest.mark.threat("FWD-2")
@pytest.mark.threat("FWD-3")
@pytest.mark.threat("ING-3")
def test_a_reboot_with_the_runtime_masked_is_as_well_protected(
    guest: Guest, signed_in: Visitor, reboot: Reboot, declaration: Declaration, ban: Visitor, new_visitor
) -> None:
    guest.systemctl("mask", "argos")
    try:
        protected_throughout(reboot(signed_in))
        assert not guest.is_active("argos")
        assert status(ban, f"https://{declaration.name('e2e-open')}/") == 403
        attack = f"https://{declaration.name('e2e-block')}/?q=<script>alert(1)</script>"
        assert status(new_visitor(), attack) == 403
    finally:
        guest.systemctl("unmask", "argos")
        guest.systemctl("start", "argos")


@pytest.mark.threat("SEC-4")
@pytest.mark.threat("FWD-3")
@pytest.mark.threat("ING-3")
def test_a_reboot_with_a_wrong_master_key_still_guards_and_the_right_one_brings_all_back(
    guest: Guest,
    signed_in: Visitor,
    reboot: Reboot,
    declaration: Declaration,
    panel: Panel,
    ban: Visitor,
    new_visitor: Callable[..., Visitor],
) -> None:
    kept = guest.shell(f"cat {ENVIRONMENT}")
    wrong = "ARGOS_MASTER_KEY=" + base64.b64encode(os.urandom(32)).decode()
    lines = [wrong if line.startswith("ARGOS_MASTER_KEY=") else line for line in kept.splitlines()]
    guest.shell(f"umask 077; cat > {ENVIRONMENT}", stdin="\n".join(lines) + "\n")
    try:
        protected_throughout(reboot(signed_in))
        assert status(ban, f"https://{declaration.name('e2e-open')}/") == 403, "a known ban holds"
        assert status(new_visitor(), f"https://{declaration.name('e2e-guarded')}/") == 401
        told = guest.shell("argos doctor 2>&1 || true; journalctl -b -u argos -o cat --no-pager | tail -n 50")
        assert "master key" in told.lower(), told
        assert wrong.split("=", 1)[1] not in told
    finally:
        guest.shell(f"umask 077; cat > {ENVIRONMENT}", stdin=kept)
    back = new_visitor()
    until("the panel is back with no hand", lambda: status(back, f"{panel.url}/login") == 200, within=240)
    back.http.cookies = signed_in.http.cookies
    assert status(back, f"{panel.url}/") == 200
    assert status(back, f"https://{declaration.name('e2e-guarded')}/") == 200
