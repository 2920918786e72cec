"""An OpenID Connect provider on another site, which the guest and the browser both reach over TLS that they verify."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.admin_api import AdminApi
from lab.guest import CHECKOUT, Guest

sys.path.insert(0, str(CHECKOUT / "tests" / "providers"))

import oidc_providers

NAME = "id.elsewhere.test"  # of another site than the panel: no Strict cookie comes from there
SECRET = "the suite's client: with % and +"
OWNER = "e2e-oidc"
_TRUSTED = "/usr/local/share/ca-certificates/argos-e2e-provider.crt"


@dataclass(frozen=True)
class Provider:
    """A running provider, known to the guest by name and certificate."""

    issuer: str
    address: str
    api: AdminApi

    def declare(self, *, enabled: bool = True) -> None:
        """Declare it at the edge, as the operator of an Authentik or Keycloak does."""
        assert self.api.request("PUT", "/v1/secrets/e2e-oidc-client", {"value": SECRET}).status == 200
        oidc = {
            "enabled": enabled,
            "name": "Elsewhere ID",
            "issuer": self.issuer,
            "client_id": "argos",
            "client_secret": {"secret": "e2e-oidc-client"},
            "allowed_domains": ["home.example"],
            "auto_provision": True,
        }
        answer = self.api.request("POST", "/v1/config/apply", {"owner": OWNER, "settings": {"oidc": oidc}})
        assert answer.status == 200, answer


@contextlib.contextmanager
def elsewhere(guest: Guest, api: AdminApi, panel: str, scratch: Path) -> Iterator[Provider]:
    """Run npm's oidc-provider on the guest's bridge; the guest gets its CA as role guest gives CAs."""
    authority = _issue(scratch)
    address = guest.gateway
    guest.run("sh", "-c", f"cat > {_TRUSTED} && update-ca-certificates >/dev/null 2>&1", stdin=authority)
    guest.shell(f"sed -i '/ {NAME}$/d' /etc/hosts; echo '{address} {NAME}' >> /etc/hosts")
    before = _documents(guest)
    tls = oidc_providers.Tls(scratch / "key.pem", scratch / "certificate.pem")
    panels = [f"https://{panel}", f"http://{panel}:9080"]
    try:
        with oidc_providers.running("javascript", SECRET, panels, address=address, name=NAME, tls=tls) as issuer:
            provider = Provider(issuer, address, api)
            provider.declare()
            yield provider
    finally:
        _give_back(guest, before)
        api.request("DELETE", "/v1/secrets/e2e-oidc-client")
        guest.shell(f"rm -f {_TRUSTED}; update-ca-certificates >/dev/null 2>&1; sed -i '/ {NAME}$/d' /etc/hosts")


def _documents(guest: Guest) -> list[dict[str, Any]]:
    """What is declared, a document for each owner."""
    declared: list[dict[str, Any]] = yaml.safe_load(guest.run("argos", "config", "export"))["declarations"]
    return declared


def _give_back(guest: Guest, before: list[dict[str, Any]]) -> None:
    """Make ``settings/oidc`` what it was, and leave all else as it is now: no prune removes settings."""
    former = {one["owner"]: one["settings"]["oidc"] for one in before if "oidc" in one.get("settings", {})}
    now = _documents(guest)
    for document in now:
        document.get("settings", {}).pop("oidc", None)
    for owner, oidc in former.items():
        document = next((one for one in now if one["owner"] == owner), {"owner": owner})
        document.setdefault("settings", {})["oidc"] = oidc
        if document not in now:
            now.append(document)
    # JSON is YAML without references, which an import does not read.
    guest.run("argos", "config", "import", "-", stdin=json.dumps({"argos": 1, "declarations": now}))


def _issue(place: Path) -> bytes:
    """Write a key and its certificate, and return the CA's."""
    now = datetime.datetime.now(datetime.UTC)
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Elsewhere's CA")])

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(extension, critical=subject == issuer)
        )
        return made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    (place / "certificate.pem").write_bytes(certificate(name, leaf, x509.SubjectAlternativeName([x509.DNSName(NAME)])))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (place / "key.pem").write_bytes(leaf.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return certificate(issuer, root, x509.BasicConstraints(ca=True, path_length=0))
