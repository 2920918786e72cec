"""Certificates as declared: what is read, what is refused, and what Caddy is told."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from argos.edge import chains
from argos.edge.certificates import authority, root_file
from argos.edge.context import RenderContext
from argos.edge.crosscheck import crosscheck
from argos.edge.decode import decode_document
from argos.edge.plan import State, plan
from argos.edge.render import render
from argos.edge.secret_use import _refuse_unfit
from argos.errors import Invalid
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

EDGE = {"panel_host": "argos.home.example", "parent_domain": "home.example"}
CLOUDFLARE = {"name": "cf", "type": "cloudflare", "api_token": {"secret": "known"}}
ROUTE53 = {
    "name": "aws",
    "type": "route53",
    "region": "eu-central-1",
    "access_key_id": "AKIATESTTESTTEST0001",
    "secret_access_key": {"secret": "known"},
}


def chain_for(*names: str) -> str:
    """A certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=90))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


CHAIN = chain_for("photos.home.example", "*.home.example")
OWN = {"name": "home", "certificate": CHAIN, "key": {"secret": "known"}}


def host(name: str = "a.home.example", **tls: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}], **({"tls": tls} if tls else {})}


def state_of(*hosts: dict[str, Any], edge: dict[str, Any] | None = None, **more: Any) -> State:
    document = {"settings": {"edge": {**EDGE, **({"tls": edge} if edge else {})}}, "hosts": list(hosts), **more}
    return plan(State(), decode_document(document)).state


def refused(**document: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        decode_document(document)
    return [(error.resource, error.field) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        ({"mode": "auto", "challenge": "dns"}, "tls.dns_provider"),
        ({"mode": "auto", "dns_provider": "cf"}, "tls.dns_provider"),
        ({"mode": "manual"}, "tls.certificate"),
        ({"mode": "auto", "certificate": "home"}, "tls.certificate"),
        ({"mode": "auto", "challenge": "smtp"}, "tls.challenge"),
        ({"mode": "auto", "ca": "http://ca.home.example/dir"}, "tls.ca"),
        ({"mode": "auto", "ca": "https://user:word@ca.home.example/dir"}, "tls.ca"),
        ({"mode": "auto", "ca": "https://ca.home.example/{file./etc/shadow}"}, "tls.ca"),
        ({"mode": "auto", "ca_root": CHAIN}, "tls.ca_root"),
        ({"mode": "auto", "ca": "https://ca.home.example/dir", "ca_root": "no root"}, "tls.ca_root"),
        ({"mode": "internal", "min_version": "1.1"}, "tls.min_version"),
    ],
)
def test_a_wrong_field_of_tls_is_named(tls: dict[str, Any], field: str) -> None:
    assert refused(hosts=[host(**tls)]) == [("host/a.home.example", field)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"api_token": None}, "api_token"),
        ({"type": None}, "type"),
        ({"region": "eu-central-1"}, "region"),
        ({"resolvers": ["1.1.1.1:99999"]}, "resolvers[0]"),
        ({"resolvers": ["{env.HOME}"]}, "resolvers[0]"),
        ({"propagation_timeout": 1}, "propagation_timeout"),
    ],
)
def test_a_wrong_field_of_a_provider_is_named(change: dict[str, Any], field: str) -> None:
    assert refused(dns_providers=[{**CLOUDFLARE, **change}]) == [("dns_provider/cf", field)]


def test_route53_wants_all_of_its_own_and_nothing_of_cloudflares() -> None:
    bare = {"name": "aws", "type": "route53", "api_token": {"secret": "known"}}
    assert {field for _unused, field in refused(dns_providers=[bare])} == {
        "access_key_id",
        "secret_access_key",
        "region",
        "api_token",
    }
    assert refused(dns_providers=[{**ROUTE53, "access_key_id": "{file./etc/shadow}"}])[0][1] == "access_key_id"


@pytest.mark.parametrize(
    "text", ["", "text", CHAIN.replace("M", "?", 1), chain_for(), CHAIN * 11, "x" * 70_000], ids=lambda text: text[:9]
)
def test_what_is_no_servers_chain_is_refused(text: str) -> None:
    assert refused(certificates=[{**OWN, "certificate": text}]) == [("certificate/home", "certificate")]


def test_a_wildcard_covers_one_label() -> None:
    chain = chains.read(CHAIN)
    assert chain.covers("photos.home.example")
    assert chain.covers("*.home.example")
    for name in ("home.example", "a.b.home.example", "*.b.home.example", "a.other.example"):
        assert not chain.covers(name)


BELOW = ("host/x.a.home.example", "tls.certificate")


@pytest.mark.parametrize(
    ("hosts", "edge", "expected"),
    [
        ([host("*.home.example", mode="auto", challenge="tls-alpn")], None, ("host/*.home.example", "tls.challenge")),
        ([host(mode="auto", challenge="dns", dns_provider="no")], None, ("host/a.home.example", "tls.dns_provider")),
        ([host(mode="manual", certificate="no")], None, ("host/a.home.example", "tls.certificate")),
        ([host("x.a.home.example", mode="manual", certificate="home")], None, BELOW),
        ([host()], {"mode": "manual", "certificate": "no"}, ("settings/edge", "tls.certificate")),
        ([host("x.a.home.example")], {"mode": "manual", "certificate": "home"}, BELOW),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named_once(
    hosts: list[dict[str, Any]], edge: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    state = state_of(*hosts, edge=edge, certificates=[OWN], dns_providers=[CLOUDFLARE])
    assert [(error.resource, error.field) for error in crosscheck(state, "behind_caddy", ["known"])] == [expected]


def test_every_secret_that_a_certificate_or_a_provider_names_needs_a_value() -> None:
    state = state_of(certificates=[OWN], dns_providers=[CLOUDFLARE, ROUTE53])
    assert [(error.resource, error.field) for error in crosscheck(state, "behind_caddy", [])] == [
        ("certificate/home", "key.secret"),
        ("dns_provider/aws", "secret_access_key.secret"),
        ("dns_provider/cf", "api_token.secret"),
    ]
    assert state.secret_names() == {"known"}, "of the providers; a certificate's key is no file of credentials"
    assert state_of(certificates=[OWN]).secret_names() == frozenset()


def test_the_environments_ca_stands_before_the_hosts_and_that_before_the_edges() -> None:
    context = RenderContext()
    edge = {"mode": "auto", "ca": "https://edge.example/dir", "ca_root": CHAIN}
    own = {"mode": "auto", "ca": "https://host.example/dir"}
    state = state_of(host("a.home.example", **own), host("b.home.example", mode="auto"), edge=edge)
    of_a, of_b = (declared.tls for declared in state.hosts())
    assert authority(of_a, state.edge, context) == ("https://host.example/dir", "")
    assert authority(of_b, state.edge, context) == (
        "https://edge.example/dir",
        root_file(chains.read_roots(CHAIN), context),
    )
    said = msgspec.structs.replace(context, acme_ca="https://env.example/dir", acme_ca_root="/etc/root.pem")
    assert authority(of_a, state.edge, said) == ("https://env.example/dir", "/etc/root.pem")
    issuers = {
        issuer.get("ca")
        for policy in render(state, said)["apps"]["tls"]["automation"]["policies"]
        for issuer in policy["issuers"]
        if issuer["module"] == "acme"
    }
    assert issuers == {"https://env.example/dir"}


def acme_of(state: State, name: str) -> dict[str, Any]:
    policies = render(state, RenderContext())["apps"]["tls"]["automation"]["policies"]
    (issuer,) = next(policy["issuers"] for policy in policies if name in policy["subjects"])
    assert issuer["module"] == "acme"
    return dict(issuer)


def test_what_a_host_leaves_out_of_how_a_ca_is_asked_is_the_edges() -> None:
    edge = {"mode": "internal", "email": "me@home.example", "challenge": "dns", "dns_provider": "cf"}
    hosts = [
        host("plain.home.example", mode="auto"),
        host("*.home.example", mode="auto"),
        host("own.home.example", mode="auto", email="you@home.example", challenge="http"),
        host("aws.home.example", mode="auto", challenge="dns", dns_provider="aws"),
        host("off.home.example", mode="internal"),
    ]
    state = state_of(*hosts, edge=edge, dns_providers=[CLOUDFLARE, ROUTE53])
    assert crosscheck(state, "behind_caddy", ["known"]) == []
    plain, own, aws = (acme_of(state, f"{name}.home.example") for name in ("plain", "own", "aws"))
    assert (plain["email"], plain["challenges"]["dns"]["provider"]["name"]) == ("me@home.example", "cloudflare")
    assert acme_of(state, "*.home.example") == plain
    assert (own["email"], own["challenges"]["http"], "dns" in own["challenges"]) == (
        "you@home.example",
        {"alternate_port": 80},
        False,
    )
    assert (aws["email"], aws["challenges"]["dns"]["provider"]["name"]) == ("me@home.example", "route53")
    of_hosts = {declared.name: declared.tls for declared in state.hosts()}
    assert of_hosts["plain.home.example"] == decode_document({"hosts": hosts[:1]}).hosts[0].tls, (
        "the plan says what was said"
    )


def test_no_key_and_no_token_is_rendered() -> None:
    hosts = [
        host("*.home.example", mode="auto", challenge="dns", dns_provider="cf"),
        host(mode="manual", certificate="home"),
    ]
    state = state_of(*hosts, certificates=[OWN], dns_providers=[CLOUDFLARE])
    config = msgspec.json.encode(render(state, RenderContext())).decode()
    assert "PRIVATE" not in config
    assert '"api_token":"{file./run/argos-credentials/secret-known}"' in config
    assert "secret-known" not in msgspec.json.encode(render(state, RenderContext(), fallback=True)).decode()


def test_a_spec_of_before_these_fields_reads_as_it_was() -> None:
    rows = [("host", "a.home.example", '{"name":"a.home.example","tls":{"mode":"auto","email":"me@home.example"}}', "")]
    (old,) = State.from_rows(rows).hosts()
    assert old.tls == decode_document({"hosts": [host(mode="auto", email="me@home.example")]}).hosts[0].tls


@pytest.mark.threat("SEC-3")
def test_a_text_that_is_no_cloudflare_token_is_refused_before_caddy_could_quote_it() -> None:
    state = state_of(dns_providers=[CLOUDFLARE])
    for good in ("known", "other"):
        _refuse_unfit(state, good, "cf-T0ken_that-nobody-may-ever-read-4711")
    _refuse_unfit(state, "other", "any text")
    with pytest.raises(Invalid) as caught:
        _refuse_unfit(state, "known", "no token")
    assert [(error.resource, error.field) for error in caught.value.errors] == [("secret/known", "value")]
    assert "no token" not in str(caught.value)
