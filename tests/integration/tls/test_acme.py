"""Certificates from a real ACME server by each challenge, their renewal, and the CA's outage."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from acme import Authority
from acme_edge import AcmeEdge
from dns_apis import Zone, resolving, serving
from edge_rig import ACTOR
from handshakes import issued_by_pebble, shown
from waiting import until

NAME, WILD = "photos.home.example", "*.home.example"
TOKEN = "cf-T0ken_that-nobody-may-ever-read-4711"
WRONG = "cf-Wr0ng_that-nobody-may-ever-read-4711"
SECRET_KEY = "aws/secret+that-nobody-may-ever-read-42"
KEY_ID = "AKIATESTTESTTEST0001"

Start = Callable[..., AcmeEdge]


def all_texts(place: Path) -> str:
    """Everything that Caddy and the runtime wrote in the clear, but for the credential files, whose place it is."""
    kept = {place / "credentials"}
    files = [file for file in place.rglob("*") if file.is_file() and not kept & set(file.parents)]
    return "".join(file.read_bytes().decode("utf-8", "replace") for file in files)


def challenges(running: AcmeEdge) -> set[str]:
    """The challenges that Caddy says it has solved."""
    return set(re.findall(r'"challenge_type": ?"([a-z-]+-01)"', (running.edge.place / "caddy.out").read_text()))


@pytest.mark.parametrize("challenge", ["http", "tls-alpn"])
def test_a_certificate_comes_by_the_challenge_that_is_declared_and_is_listed(acme_edge: Start, challenge: str) -> None:
    running = acme_edge()
    running.edge.apply([running.host(NAME, challenge=challenge, email="me@home.example")])
    until(lambda: issued_by_pebble(shown(running.edge, NAME)), told=running.pebble.log)
    assert challenges(running) == {f"{challenge}-01"}
    assert running.edge.ask(NAME).received().path == "/"
    status = running.statuses()[NAME]
    assert (status.source, status.condition, status.error) == ("auto", "valid", "")
    assert status.issuer.startswith("Pebble Intermediate")
    assert status.not_before is not None
    assert status.not_after is not None
    assert status.renew_at is not None
    assert status.not_before < status.renew_at < status.not_after
    assert running.statuses()["argos.home.example"].source == "internal"
    plain = running.edge.ask(NAME, "/a?b=c", plain=True)
    assert (plain.status, plain.one("Location")) == (308, f"https://{NAME}:{running.edge.https_port}/a?b=c")


def test_a_hosts_ca_stands_before_the_edges(acme_edge: Start) -> None:
    running = acme_edge()
    edge, nowhere = running.edge, {"mode": "auto", "ca": "https://127.0.0.1:1/dir"}
    edge.apply([running.host(NAME)], edge={"tls": nowhere})
    until(lambda: issued_by_pebble(shown(edge, NAME)), told=running.pebble.log)
    edge.apply([{**running.host(NAME), "tls": None}], edge={"tls": running.tls})
    until(lambda: issued_by_pebble(shown(edge, "argos.home.example")), told=running.pebble.log)


@pytest.mark.threat("SEC-3")
def test_a_wildcard_comes_through_route53_and_its_key_is_nowhere(
    acme_edge: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = Zone("home.example", 0, access_key_id=KEY_ID, secret_access_key=SECRET_KEY)
    with serving(zone) as port:
        running = acme_edge(environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        zone.challenges = running.pebble.challenges
        running.edge.secrets.set(ACTOR, "aws", SECRET_KEY)
        with resolving(zone, running.pebble.dns) as resolver:
            provider = {
                "name": "aws", "type": "route53", "region": "eu-central-1", "access_key_id": KEY_ID,
                "secret_access_key": {"secret": "aws"}, "resolvers": [resolver],
            }  # fmt: skip
            running.edge.apply([running.host(WILD, challenge="dns", dns_provider="aws")], dns_providers=[provider])
            until(
                lambda: issued_by_pebble(shown(running.edge, NAME)),
                told=lambda: (running.pebble.log(), zone.asked),
                within=120,
            )
    assert challenges(running) == {"dns-01"}
    assert running.statuses()[WILD].condition == "valid"
    assert SECRET_KEY not in json.dumps(running.edge.admin.config())
    assert SECRET_KEY not in all_texts(tmp_path / "edge")


@pytest.mark.threat("SEC-3")
def test_a_wildcard_comes_through_cloudflare_and_a_refused_token_is_quoted_nowhere(
    acme_edge: Start, authority: Authority, tmp_path: Path
) -> None:
    """The provider's client finds api.cloudflare.com by Caddy's own view of /etc/hosts, and trusts the test's root."""
    zone = Zone("home.example", 0, token=TOKEN)
    chain, key = authority.sign("api.cloudflare.com")
    (tmp_path / "chain.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    address = "127.{}.{}.{}".format(*os.urandom(3))
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{address} api.cloudflare.com\n")
    view = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    with serving(zone, address, 443, (tmp_path / "chain.pem", tmp_path / "key.pem")):
        running = acme_edge(
            environment={"SSL_CERT_FILE": str(authority.file)},
            within=["unshare", "--mount", *user, "sh", "-c", view, "sh"],
        )
        edge, zone.challenges = running.edge, running.pebble.challenges
        edge.secrets.set(ACTOR, "cloudflare", WRONG)
        with resolving(zone, running.pebble.dns) as resolver:
            provider = {
                "name": "cf", "type": "cloudflare", "api_token": {"secret": "cloudflare"}, "resolvers": [resolver],
            }  # fmt: skip
            declared = [running.host(WILD, challenge="dns", dns_provider="cf")], {"dns_providers": [provider]}
            edge.apply(declared[0], **declared[1])
            until(lambda: running.statuses()[WILD].error != "", told=lambda: zone.asked, within=120)
            status = running.statuses()[WILD]
            assert (status.condition, "may not edit this zone" in status.error) == ("missing", True), status
            assert WRONG in json.dumps(edge.admin.certificates({WILD: ""})), "the provider did quote it"
            assert WRONG not in status.error
            assert WRONG not in json.dumps(edge.admin.config())
            assert WRONG not in all_texts(tmp_path / "edge")
            assert "may not edit this zone" in (tmp_path / "edge/caddy.out").read_text()

            edge.secrets.set(ACTOR, "cloudflare", TOKEN)
            edge.apply(declared[0], **declared[1])
            until(
                lambda: issued_by_pebble(shown(edge, NAME)), told=lambda: (running.statuses(), zone.asked), within=120
            )
            until(lambda: running.statuses()[WILD].condition == "valid", told=running.statuses)


def test_without_its_credential_the_fallback_serves_the_certificate_that_is_there(acme_edge: Start) -> None:
    zone = Zone("home.example", 0, access_key_id=KEY_ID, secret_access_key=SECRET_KEY)
    with serving(zone) as port:
        running = acme_edge(environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        edge, zone.challenges = running.edge, running.pebble.challenges
        edge.secrets.set(ACTOR, "cloudflare", TOKEN)
        edge.secrets.set(ACTOR, "aws", SECRET_KEY)
        with resolving(zone, running.pebble.dns) as resolver:
            aws = {
                "name": "aws", "type": "route53", "region": "eu-central-1", "access_key_id": KEY_ID,
                "secret_access_key": {"secret": "aws"}, "resolvers": [resolver],
            }  # fmt: skip
            cloudflare = {"name": "cf", "type": "cloudflare", "api_token": {"secret": "cloudflare"}}
            hosts = [
                running.host(NAME, challenge="dns", dns_provider="aws"),
                running.host("other.home.example", challenge="dns", dns_provider="cf"),
            ]
            edge.apply(hosts, dns_providers=[aws, cloudflare])
            until(
                lambda: issued_by_pebble(shown(edge, NAME)), told=lambda: (running.pebble.log(), zone.asked), within=120
            )
            serial = shown(edge, NAME).serial_number
    edge.stop()
    for file in Path(edge.context.credentials_dir).iterdir():
        file.unlink()
    refused = subprocess.run(
        [str(edge.binary), "validate", "--config", str(edge.place / "edge/caddy.json")],
        capture_output=True, text=True, env={"HOME": str(edge.place)}, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode != 0, "the active revision needs its tokens, or this proves nothing"
    edge.start(edge.place / "edge/fallback.json")
    until(lambda: shown(edge, NAME).serial_number == serial)
    assert edge.ask(NAME).status == 200


@pytest.mark.timeout(900)  # Caddy takes minutes to ask again
def test_a_certificate_is_renewed_and_an_outage_of_the_ca_leaves_it_serving(acme_edge: Start) -> None:
    running = acme_edge(validity=30, renewal_check="1s")
    edge = running.edge
    edge.apply([running.host(NAME)])
    until(lambda: issued_by_pebble(shown(edge, NAME)), told=running.pebble.log)
    first = shown(edge, NAME).serial_number
    until(lambda: shown(edge, NAME).serial_number != first, told=running.pebble.log, within=120)
    second = shown(edge, NAME)
    running.pebble.stop()
    until(lambda: running.statuses()[NAME].condition == "failing", told=lambda: running.statuses()[NAME], within=120)
    status = running.statuses()[NAME]
    assert "connection refused" in status.error
    assert status.failed_at is not None
    assert shown(edge, NAME).serial_number == second.serial_number
    assert edge.ask(NAME).status == 200
    # Caddy asks again after a minute, then after two; the CA comes back with no memory of the account.
    running.pebble.start()
    until(lambda: shown(edge, NAME).serial_number != second.serial_number, told=running.pebble.log, within=400)
    assert running.statuses()[NAME].condition in {"valid", "expiring"}


def test_the_least_tls_version_is_the_hosts_else_the_edges(acme_edge: Start) -> None:
    import ssl

    running = acme_edge()
    edge = running.edge
    own = {"upstreams": [{"url": running.echo.url}]}
    edge.apply(
        [
            {"name": "as-the-edge.home.example", **own},
            {"name": "old.home.example", "tls": {"mode": "internal", "min_version": "1.2"}, **own},
            {"name": "*.home.example", "tls": {"mode": "internal", "min_version": "1.2"}, **own},
        ],
        edge={"tls": {"mode": "internal", "min_version": "1.3"}},
    )
    until(lambda: shown(edge, "as-the-edge.home.example") is not None)
    for name in ("as-the-edge.home.example", "argos.home.example", "nobody.example"):
        with pytest.raises(ssl.SSLError):
            shown(edge, name, ssl.TLSVersion.TLSv1_2)
    for name in ("old.home.example", "any.home.example"):
        until(lambda name=name: shown(edge, name, ssl.TLSVersion.TLSv1_2) is not None)  # type: ignore[misc]


def test_a_fallback_names_no_provider_and_no_credential(acme_edge: Start) -> None:
    running = acme_edge()
    edge = running.edge
    edge.secrets.set(ACTOR, "cloudflare", TOKEN)
    provider = {"name": "cf", "type": "cloudflare", "api_token": {"secret": "cloudflare"}}
    edge.apply([running.host(WILD, challenge="dns", dns_provider="cf")], dns_providers=[provider])
    fallback = json.loads((edge.place / "edge/fallback.json").read_text())
    issuer = fallback["apps"]["tls"]["automation"]["policies"][1]["issuers"][0]
    assert set(issuer["challenges"]) == {"http", "tls-alpn"}
    assert "secret-cloudflare" not in json.dumps(fallback)
