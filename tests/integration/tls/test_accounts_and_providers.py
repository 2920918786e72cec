"""What a CA and a DNS provider are told of a declaration: who asks, which CA, which zone and region, how long."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns_apis
import msgspec
import pytest
from acme import Pebble
from acme_edge import AcmeEdge
from argos.edge.apply import ApplyEngine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from dns_apis import Zone, resolving, serving
from edge_rig import ACTOR
from handshakes import issued_by_pebble, shown
from waiting import until

NAME, OTHER = "photos.home.example", "music.home.example"
SECRET_KEY, KEY_ID = "aws/secret+that-nobody-may-ever-read-42", "AKIATESTTESTTEST0001"

Start = Callable[..., AcmeEdge]


# Accounts ------------------------------------------------------------------------------------------------------------


def contacts(pebble: Pebble, keys: Iterator[Path]) -> set[str]:
    """What the CA has for each of our accounts: asked for one that exists (RFC 8555 §7.3.1), it shows it."""
    trusting = ssl.create_default_context(cadata=pebble.authority.pem)

    def fetched(request: str | urllib.request.Request) -> Any:
        return urllib.request.urlopen(request, context=trusting, timeout=30)

    def text(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    with fetched(pebble.directory) as answer:
        directory = json.load(answer)
    found: set[str] = set()
    for file in keys:
        key = load_pem_private_key(file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        with fetched(directory["newNonce"]) as answer:
            nonce = answer.headers["Replay-Nonce"]
        point = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "x": text(point.x.to_bytes(32)), "y": text(point.y.to_bytes(32))}
        head = {"alg": "ES256", "jwk": jwk, "nonce": nonce, "url": directory["newAccount"]}
        protected = text(json.dumps(head).encode())
        payload = text(json.dumps({"onlyReturnExisting": True, "termsOfServiceAgreed": True}).encode())
        r, s = decode_dss_signature(key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
        signed = {"protected": protected, "payload": payload, "signature": text(r.to_bytes(32) + s.to_bytes(32))}
        kind = {"Content-Type": "application/jose+json"}
        with fetched(urllib.request.Request(directory["newAccount"], json.dumps(signed).encode(), kind)) as answer:
            assert answer.status == 200, "it was there before"
            found |= set(json.load(answer).get("contact") or [])
    return found


def test_the_ca_knows_whom_to_write_to(acme_edge: Start) -> None:
    running = acme_edge()
    edge = running.edge
    hosts = [running.host(NAME, email="photos@home.example"), {**running.host(OTHER), "tls": None}]
    edge.apply(hosts, edge={"tls": {**running.tls, "email": "edge@home.example"}})
    for name in (NAME, OTHER):
        until(lambda name=name: issued_by_pebble(shown(edge, name)), told=running.pebble.log)  # type: ignore[misc]
    keys = Path(edge.context.storage_dir).glob("acme/*/users/*/*.key")
    assert contacts(running.pebble, keys) == {"mailto:photos@home.example", "mailto:edge@home.example"}


def test_the_environments_ca_stands_before_every_declared_one(acme_edge: Start) -> None:
    running = acme_edge()
    edge, pebble = running.edge, running.pebble
    root = edge.place / "root-of-the-environment.pem"
    root.write_text(pebble.authority.pem)
    edge.engine = ApplyEngine(
        edge.settings,
        edge.storage,
        edge.vault,
        edge.secrets,
        edge.audit,
        edge.epoch,
        edge.scrubber,
        context=msgspec.structs.replace(edge.context, acme_ca=pebble.directory, acme_ca_root=str(root)),
        caddy=edge.admin,
    )
    nowhere = {"mode": "auto", "ca": "https://127.0.0.1:1/dir"}
    edge.apply([running.host(NAME, ca=nowhere["ca"], ca_root="")], edge={"tls": nowhere})
    for name in (NAME, "argos.home.example"):
        until(lambda name=name: issued_by_pebble(shown(edge, name)), told=pebble.log)  # type: ignore[misc]


# DNS providers -------------------------------------------------------------------------------------------------------


def provider(name: str, resolver: str, **more: Any) -> dict[str, Any]:
    """An account at Route 53."""
    key = {"access_key_id": KEY_ID, "secret_access_key": {"secret": "aws"}}
    return {"name": name, "type": "route53", "region": "eu-central-1", "resolvers": [resolver], **key, **more}


@contextmanager
def route53(acme_edge: Start, zone: Zone) -> Iterator[tuple[AcmeEdge, str]]:
    """An edge that finds the fake in Route 53's place, and the resolver that knows the zone."""
    with serving(zone) as port:
        running = acme_edge(environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        zone.challenges = running.pebble.challenges
        running.edge.secrets.set(ACTOR, "aws", SECRET_KEY)
        with resolving(zone, running.pebble.dns) as resolver:
            yield running, resolver


def test_route53_is_asked_in_the_region_and_for_the_zone_that_are_declared(
    acme_edge: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions: set[str] = set()
    check = dns_apis.signed_with

    def listening(secret: str, key_id: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bool:
        """The check as it is; who signed says in which region."""
        regions.add(headers["Authorization"].partition("Credential=")[2].split("/")[2])
        return check(secret, key_id, method, target, headers, body)

    monkeypatch.setattr(dns_apis, "signed_with", listening)
    zone = Zone("home.example", 0, access_key_id=KEY_ID, secret_access_key=SECRET_KEY)
    with route53(acme_edge, zone) as (running, resolver):
        declared = provider("aws", resolver, hosted_zone_id="ZDECLARED", region="eu-north-1")
        running.edge.apply([running.host(NAME, challenge="dns", dns_provider="aws")], dns_providers=[declared])
        until(lambda: issued_by_pebble(shown(running.edge, NAME)), told=lambda: (running.pebble.log(), zone.asked))
        assert zone.asked
        assert all("/hostedzone/ZDECLARED/" in asked for asked in zone.asked), "and no list of zones before"
    assert regions == {"eu-north-1"}


class DeafZone(Zone):
    """It takes every record, and nobody's resolver ever sees one."""

    def put(self, name: str, values: set[str]) -> None:
        """Remember it, and tell no DNS server."""
        self.records[name.rstrip(".")] = values


def test_a_record_is_waited_for_as_long_as_propagation_timeout_says(acme_edge: Start) -> None:
    zone = DeafZone("home.example", 0, access_key_id=KEY_ID, secret_access_key=SECRET_KEY)
    with route53(acme_edge, zone) as (running, resolver):
        running.edge.apply(
            [
                running.host(NAME, challenge="dns", dns_provider="hasty"),
                running.host(OTHER, challenge="dns", dns_provider="patient"),
            ],
            dns_providers=[
                provider("hasty", resolver, propagation_timeout=5),
                provider("patient", resolver, propagation_timeout=3600),
            ],
        )
        until(lambda: f"_acme-challenge.{OTHER}" in zone.records, told=lambda: (running.pebble.log(), zone.asked))
        until(lambda: running.statuses()[NAME].error != "", told=lambda: zone.asked)
        assert "timed out waiting for record to fully propagate" in running.statuses()[NAME].error
        assert running.statuses()[OTHER].error == ""
