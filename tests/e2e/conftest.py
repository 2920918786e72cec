"""Fixtures of the end-to-end suite: one guest, one namespace of public clients, one set of declared hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.crowdsec import CrowdSec
from lab.guest import Guest
from lab.hosts import standard_hosts
from lab.namespace import PublicNetwork
from lab.people import Panel, People, Person, new_password
from lab.visitor import Visitor

UNITS = ("argos-caddy", "argos", "argos-gate.socket", "argos-gate", "crowdsec")


@pytest.fixture(scope="session")
def guest() -> Guest:
    try:
        found = Guest.of_checkout()
    except RuntimeError as error:
        pytest.exit(str(error), returncode=2)
    found.wait_for_units(*UNITS)
    return found


@pytest.fixture(scope="session")
def network(guest: Guest) -> Iterator[PublicNetwork]:
    laid = PublicNetwork(guest)
    laid.lay()
    yield laid
    laid.clear()


@pytest.fixture(scope="session")
def crowdsec(guest: Guest) -> Iterator[CrowdSec]:
    found = CrowdSec(guest)
    found.forgive()
    yield found
    found.forgive()


@pytest.fixture(scope="session")
def api(guest: Guest) -> AdminApi:
    return AdminApi(guest)


@pytest.fixture(scope="session")
def declaration(api: AdminApi) -> Iterator[Declaration]:
    """Declare the hosts that most tests use; at the end the suite's hosts are gone."""
    declared = Declaration(api)
    declared.apply(standard_hosts(declared))
    yield declared
    declared.clear()


@pytest.fixture(scope="module")
def more_hosts(declaration: Declaration) -> Iterator[Callable[..., None]]:
    """Return a function that declares hosts beside the standard ones, until the module ends."""

    def declare(*hosts: dict[str, Any]) -> None:
        declaration.apply([*standard_hosts(declaration), *hosts])

    yield declare
    declaration.apply(standard_hosts(declaration))


@pytest.fixture
def visitor(guest: Guest, network: PublicNetwork) -> Iterator[Visitor]:
    """Give each test a client whose address no other test used."""
    made = Visitor(guest, network)
    yield made
    made.close()


@pytest.fixture
def new_visitor(guest: Guest, network: PublicNetwork) -> Iterator[Callable[..., Visitor]]:
    """Return a function that makes clients, each of an address of its own unless one is named."""
    made: list[Visitor] = []

    def make(source: str | None = None, *, http2: bool = False) -> Visitor:
        made.append(Visitor(guest, network, source, http2=http2))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def panel(declaration: Declaration) -> Panel:
    return Panel(declaration)


@pytest.fixture(scope="session")
def people(api: AdminApi) -> Iterator[People]:
    made = People(api)
    yield made
    made.remove_all()


@pytest.fixture(scope="session")
def alice(guest: Guest, network: PublicNetwork, people: People, panel: Panel) -> Person:
    """Return a member who has set a password of their own."""
    person = people.create("e2e-alice")
    first = Visitor(guest, network)
    panel.submit(first, person)
    panel.change_password(first, person, new_password())
    first.close()
    return person


@pytest.fixture
def signed_in(visitor: Visitor, alice: Person, panel: Panel) -> Visitor:
    """Return a client that has signed in as alice."""
    panel.sign_in(visitor, alice)
    return visitor
