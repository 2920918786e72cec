"""Certificates of the operator's: served, replaced without a restart, kept where only Caddy reads, judged before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acme import Authority
from acme_edge import AcmeEdge
from argos.doctor.certificates import check_certificates
from argos.errors import Invalid
from argos.storage.tables import audit
from cryptography.hazmat.primitives.asymmetric import ec
from edge_rig import ACTOR, EchoUpstream, Edge
from handshakes import shown
from sqlalchemy import select
from waiting import until

NAME, OTHER, WILD = "photos.home.example", "music.home.example", "*.home.example"


@pytest.fixture
def edge(tmp_path: Path, caddy_binary: Path) -> Any:
    """An edge with nothing declared."""
    place = tmp_path / "edge"
    place.mkdir()
    with Edge(place, caddy_binary) as running:
        yield running


def declared(edge: Edge, chain: str, key: str, *, name: str = "home", secret: str = "home-key") -> dict[str, Any]:
    """A certificate whose key has been stored."""
    edge.secrets.set(ACTOR, secret, key)
    return {"name": name, "certificate": chain, "key": {"secret": secret}}


def host(echo: EchoUpstream, name: str, certificate: str = "home") -> dict[str, Any]:
    """A host that serves it."""
    return {"name": name, "upstreams": [{"url": echo.url}], "tls": {"mode": "manual", "certificate": certificate}}


@pytest.fixture
def echo() -> Any:
    """An upstream."""
    with EchoUpstream() as upstream:
        yield upstream


def key_files(edge: Edge) -> list[Path]:
    """The files that Caddy keeps of them."""
    return sorted(edge.place.rglob("argos-certificates/*"))


@pytest.mark.threat("SEC-3")
def test_it_is_served_and_its_key_stands_in_one_file_that_only_caddy_reads(
    edge: Edge, echo: EchoUpstream, authority: Authority
) -> None:
    chain, key = authority.sign(NAME, WILD)
    edge.apply([host(echo, NAME), host(echo, WILD)], certificates=[declared(edge, chain, key)])
    assert shown(edge, NAME).issuer == authority.name
    assert shown(edge, "any.home.example").issuer == authority.name
    until(lambda: shown(edge, "argos.home.example").issuer != authority.name)  # the panel's is its own
    assert edge.ask(NAME).status == 200
    (kept,) = key_files(edge)
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o400, 0o700)
    secret = key.splitlines()[1]
    holders = [file for file in edge.place.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert holders == [kept]
    with edge.storage.read() as connection:
        assert secret not in str(connection.execute(select(audit)).all())
    # Caddy starts from it with nothing else of Argos there.
    edge.stop(kill=True)
    edge.start(edge.place / "edge/fallback.json")
    until(lambda: shown(edge, NAME).issuer == authority.name)


def test_another_of_the_same_name_is_served_at_once_and_the_old_key_goes(
    edge: Edge, echo: EchoUpstream, authority: Authority
) -> None:
    edge.apply([host(echo, NAME)], certificates=[declared(edge, *authority.sign(NAME))])
    first, pid = shown(edge, NAME).serial_number, edge.caddy.pid if edge.caddy else 0
    (before,) = key_files(edge)
    again = declared(edge, *authority.sign(NAME))
    assert edge.apply([host(echo, NAME)], certificates=[again]).changed
    assert shown(edge, NAME).serial_number != first
    assert edge.caddy is not None
    assert edge.caddy.pid == pid
    assert edge.caddy.poll() is None
    (after,) = key_files(edge)
    assert before != after
    # White space is no change.
    spaced = {**again, "certificate": "\n\n" + again["certificate"].replace("\n", "\r\n")}
    assert not edge.apply([host(echo, NAME)], certificates=[spaced]).changed
    edge.apply([], certificates=[{"name": "home", "state": "absent"}], prune=True)
    assert key_files(edge) == []


def test_what_caddy_lost_is_given_to_it_again(edge: Edge, echo: EchoUpstream, authority: Authority) -> None:
    edge.apply([host(echo, NAME)], certificates=[declared(edge, *authority.sign(NAME))])
    (kept,) = key_files(edge)
    edge.stop()
    kept.unlink()
    edge.start(edge.place / "edge/caddy.json")
    with pytest.raises(OSError):  # noqa: PT011 - whatever alert, it is no handshake
        shown(edge, NAME)
    assert edge.engine.reconcile()
    until(lambda: shown(edge, NAME).issuer == authority.name)
    assert not edge.engine.reconcile()


def test_each_thing_wrong_with_one_is_named(edge: Edge, echo: EchoUpstream, authority: Authority) -> None:
    good, key = authority.sign(NAME)
    stranger = authority.sign(OTHER)[1]
    edge.secrets.set(ACTOR, "none", "no key at all, but a text")

    def errors(certificate: dict[str, Any], *hosts: dict[str, Any]) -> list[tuple[str, str, str]]:
        with pytest.raises(Invalid) as refused:
            edge.apply(list(hosts), certificates=[certificate])
        assert "PRIVATE" not in str(refused.value)
        return [(error.resource, error.field, error.problem) for error in refused.value.errors]

    mine = declared(edge, good, key)
    assert errors(mine, host(echo, OTHER)) == [
        (f"host/{OTHER}", "tls.certificate", f"names 'home', which is not for {OTHER}")
    ]
    assert errors(declared(edge, good, stranger, secret="stranger")) == [
        ("certificate/home", "key.secret", "names 'stranger', which is not the key of this certificate")
    ]
    assert errors({**mine, "key": {"secret": "none"}}) == [
        ("certificate/home", "key.secret", "names 'none', which is no private key in PEM")
    ]
    assert errors({**mine, "key": {"secret": "unset"}}) == [
        ("certificate/home", "key.secret", "names 'unset', which has no value")
    ]
    week = declared(edge, *authority.sign(NAME, days=6.9), secret="week")
    assert errors(week) == [("certificate/home", "certificate", "expires in 6 days")]
    assert errors({**mine, "certificate": good + authority.sign(OTHER)[0]}) == [
        (
            "certificate/home",
            "certificate",
            f"is out of order: 'CN={NAME}' is not issued by the certificate after it",
        )
    ]
    assert errors({**mine, "certificate": good + key})[0][2] == "holds a private key"
    month = declared(edge, *authority.sign(NAME, days=20.5), secret="month")
    outcome = edge.apply([], certificates=[month])
    assert outcome.warnings == ("certificate/home expires in 20 days",)
    # With its root behind it, it is in order; and nobody may take it from a host that serves it.
    whole = {**mine, "certificate": good + authority.pem}
    edge.apply([host(echo, NAME)], certificates=[whole])
    with pytest.raises(Invalid, match="is not declared"):
        edge.apply([host(echo, NAME)], certificates=[{"name": "home", "state": "absent"}])


def test_one_is_used_for_the_hosts_that_name_it_and_listed(
    acme_edge: Callable[..., AcmeEdge], authority: Authority
) -> None:
    running = acme_edge()
    edge = running.edge
    key = ec.generate_private_key(ec.SECP256R1())
    both = [
        declared(edge, *authority.sign(NAME, OTHER, key=key), name="one", secret="one"),
        declared(edge, *authority.sign(NAME, OTHER, days=20.5), name="two", secret="two"),
        declared(edge, *authority.sign("spare.home.example"), name="spare", secret="spare"),
    ]
    edge.apply([host(running.echo, NAME, "one"), host(running.echo, OTHER, "two")], certificates=both)
    assert shown(edge, NAME).public_key() == key.public_key()
    assert shown(edge, OTHER).public_key() != key.public_key()
    until(lambda: running.statuses()["argos.home.example"].condition == "valid", told=running.statuses)
    statuses = running.statuses()
    assert [(status.certificate, status.condition, status.renew_at) for status in statuses.values()] == [
        ("", "valid", statuses["argos.home.example"].renew_at),
        ("spare", "unused", None),
        ("two", "expiring", None),
        ("one", "valid", None),
    ]
    assert statuses[OTHER].issuer == "Test root"


def test_the_doctor_tells_of_one_that_ends_soon_and_of_one_that_caddy_lost(
    edge: Edge, echo: EchoUpstream, authority: Authority
) -> None:
    edge.apply([host(echo, NAME)], certificates=[declared(edge, *authority.sign(NAME, days=20))])
    until(lambda: shown(edge, "argos.home.example").issuer != authority.name)
    finding = check_certificates(edge.settings)
    assert (finding.state, finding.message.startswith(f"Of 2: {NAME} expires at ")) == ("warning", True), finding
    assert "argos.edge.certificate" in finding.advice
    edge.apply([host(echo, NAME)], certificates=[declared(edge, *authority.sign(NAME))])
    until(lambda: check_certificates(edge.settings).message == "2 ok.")
    edge.stop()
    assert check_certificates(edge.settings).state == "unknown"
    (kept,) = key_files(edge)
    kept.unlink()
    edge.start(edge.place / "bootstrap.json")
    finding = check_certificates(edge.settings)
    assert (finding.state, "Caddy does not have certificate/home" in finding.message) == ("failed", True), finding
    assert edge.engine.reconcile()
    until(lambda: check_certificates(edge.settings).message == "2 ok.")
