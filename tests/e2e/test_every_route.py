"""A walk over all routes of the panel's router, through the real edge: who is not enough is denied everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from argos.api.access import Needs
from lab.authenticator import set_up
from lab.guest import CHECKOUT, Guest
from lab.people import Panel, People
from lab.visitor import Visitor
from lab.wire import Wire

sys.path.insert(0, str(CHECKOUT / "runtime/tests/panel"))

from route_walk import Step, every_step

WHO = {
    "nobody": None,
    "e2e-half-way": Needs.SECOND_FACTOR,
    "e2e-first-password": Needs.PASSWORD_CHANGE,
    "e2e-member": Needs.MEMBER,
    "e2e-administrator": Needs.ADMIN,
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return every_step(tmp_path_factory.mktemp("router"))


@pytest.fixture
def cookies(request: pytest.FixtureRequest, new_visitor: Callable[..., Visitor], people: People, panel: Panel) -> str:
    """What the test's ``who`` sends as Cookie, signed in as far as they come."""
    who = request.node.callspec.params["who"]
    level = WHO[who]
    if level is None:
        return ""
    client = new_visitor()
    role = "member" if level is Needs.MEMBER else "admin"
    person = people.create(who, role, must_change=level is Needs.PASSWORD_CHANGE)
    if level is Needs.SECOND_FACTOR:
        set_up(panel, new_visitor(), person)
    assert panel.submit(client, person).status_code == 303
    return "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())


@pytest.mark.threat("AUT-1")
@pytest.mark.parametrize("who", WHO)
def test_each_route_is_denied_below_what_it_needs(
    guest: Guest, panel: Panel, steps: list[Step], cookies: str, who: str
) -> None:
    """From a private address, as CrowdSec bans a public one for walking so."""
    level, denied, read = WHO[who], 0, 0
    with Wire(guest, panel.host) as wire:
        for step in steps:
            if step.admits(level) and not step.reads:
                continue  # one who may change something would
            answer = wire.ask(request(step, panel, cookies))
            location = "".join(value for name, value in answer.headers if name.lower() == "location")
            if step.admits(level):
                step.assert_admitted(answer.status, location)
                read += 1
            else:
                step.assert_denied(level, answer.status, location)
                denied += 1
    assert denied >= {Needs.MEMBER: 55, Needs.ADMIN: 0}.get(level, 70)
    assert read >= {Needs.ADMIN: 45, Needs.MEMBER: 9}.get(level, 5)


def request(step: Step, panel: Panel, cookies: str) -> bytes:
    lines = [f"Host: {panel.host}", f"Origin: {panel.url}", "Sec-Fetch-Site: same-origin", "Accept: text/html"]
    if cookies:
        lines.append(f"Cookie: {cookies}")
    body = b"" if step.reads else b"{}"
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    head = "".join(f"{line}\r\n" for line in (f"{step.method} {step.target} HTTP/1.1", *lines, ""))
    return head.encode("latin-1") + body
