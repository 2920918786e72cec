"""From outside only four doors answer, and no secret lies where it could be read."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
import secrets
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pyotp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lab.admin_api import AdminApi, Declaration
from lab.echo import Received
from lab.guest import CHECKOUT, Guest
from lab.mailbox import PASSWORD as SMTP_PASSWORD
from lab.mailbox import mailbox
from lab.namespace import PublicNetwork
from lab.people import Panel, People, Person
from lab.polling import until
from lab.provider import SECRET as CLIENT_SECRET
from lab.provider import elsewhere
from lab.secret_search import demand_only_holders, forms_of, master_key, search, watching
from lab.visitor import Visitor

sys.path.insert(0, str(CHECKOUT / "tests" / "acme"))

from acme import Pebble

BAD_RULE = 'SecRule ARGS "@rx (unclosed" "id:100001,phase:2,deny"'  # which only Caddy refuses
DOORS = {("tcp", 22), ("tcp", 80), ("tcp", 443), ("udp", 443)}


def listeners(guest: Guest) -> set[tuple[str, int]]:
    """Return what listens in the guest on anything but loopback."""
    found = set()
    for line in guest.run("ss", "-Hlntu").splitlines():
        kind, _unused, _unused, _unused, local = line.split()[:5]
        address, _unused, port = local.rpartition(":")
        if not address.strip("[]").split("%")[0].startswith(("127.", "::1")):
            found.add((kind, int(port)))
    return found


def answering(network: PublicNetwork, address: str, ports: range | list[int]) -> list[int]:
    """Return the TCP ports that accept a connection from outside; 200 tries at once, at most 2 minutes in all."""
    accepted: list[int] = []
    waiting = iter(ports)
    deadline = time.monotonic() + 120
    with selectors.DefaultSelector() as selector:

        def try_next() -> bool:
            port = next(waiting, None)
            if port is None:
                return False
            one = network.socket()
            one.setblocking(False)
            one.connect_ex((address, port))
            selector.register(one, selectors.EVENT_WRITE, port)
            return True

        while len(selector.get_map()) < 200 and try_next():
            pass
        while selector.get_map():
            assert time.monotonic() < deadline, "the scan took too long"
            for key, _unused in selector.select(timeout=5):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    accepted.append(key.data)
                selector.unregister(one)
                one.close()
                try_next()
    return sorted(accepted)


@pytest.mark.threat("LOG-3")
def test_only_ssh_http_and_https_answer(guest: Guest, network: PublicNetwork) -> None:
    heard = listeners(guest)
    assert heard <= DOORS, f"more than the four doors listen: {heard - DOORS}"
    assert heard >= DOORS
    loopback = {int(line.split()[3].rpartition(":")[2]) for line in guest.run("ss", "-Hlnt").splitlines()}
    known = {2019, 3306, 5432, 6060, 8000, 8080, 8081, 8443, 9080, 9090, 9091}
    ports = sorted({*range(1, 1025), *known, *loopback})
    assert answering(network, guest.address, ports) == [22, 80, 443]


# Where a secret must stand in clear: whose the file is, and the most that its mode may allow (SEC-1, SEC-3, DAT-6).
CADDYS_CA = "/var/lib/argos-caddy/*pki/authorities/local/root.key"  # a restore keeps the one of before
OWN = "/var/lib/argos-caddy/*caddy/argos-certificates/e2e-own.*.pem"
STANDS = {
    "master key": {"/etc/argos/argos.env": ("root", 0o600)},
    "bouncer key": {
        "/run/argos-credentials/crowdsec-bouncer-key": ("argos", 0o440),
        "/etc/argos/crowdsec-bouncer-key": ("root", 0o640),
    },
    "machine password": {
        "/etc/crowdsec/local_api_credentials.yaml": ("root", 0o640),
        "/etc/argos/crowdsec-machine": ("root", 0o640),
    },
    "planted secret": {"/run/argos-credentials/secret-e2e-planted": ("argos", 0o440)},
    "DNS token": {"/run/argos-credentials/secret-e2e-dns-token": ("argos", 0o440)},
    "key of Caddy's CA": {CADDYS_CA: ("argos-caddy", 0o600)},
    "key of an own certificate": {OWN: ("argos-caddy", 0o400)},
    "ACME account's key": {"/var/lib/argos-caddy/*acme/*/users/*.key": ("argos-caddy", 0o600)},
    "key of an ACME certificate": {"/var/lib/argos-caddy/*certificates/*.key": ("argos-caddy", 0o600)},
}


def stands(name: str, path: str) -> tuple[str, int] | None:
    """Whose file ``path`` must be, and what its mode may allow; None where the secret may not stand."""
    return next((rule for pattern, rule in STANDS.get(name, {}).items() if fnmatch.fnmatchcase(path, pattern)), None)


@pytest.fixture
def enrolled(people: People, panel: Panel, new_visitor: Callable[..., Visitor]) -> dict[str, str]:
    """The TOTP secret and two recovery codes of somebody who has just set them up."""
    person, browser = people.create("e2e-enrolled"), new_visitor()
    panel.submit(browser, person)
    panel.change_password(browser, person, "e2e-" + secrets.token_hex(12))
    page = panel.post(browser, "/profile/second-factor", {"action": "begin"})
    secret = re.search(r"\b[A-Z2-7]{32}\b", page.text.replace(" ", ""))
    assert secret, page.text
    fields = {"action": "confirm", "code": pyotp.TOTP(secret[0]).now()}
    shown = panel.post(browser, "/profile/second-factor", fields).text
    codes = re.findall(r"\b\w{4}(?:-\w{4})+\b", shown)
    assert len(codes) >= 2
    return {
        "TOTP secret": secret[0],
        "recovery code": codes[0],
        "another recovery code": codes[1],
        "enrolled's session": browser.http.cookies["__Secure-argos_session"],
    }


@pytest.fixture
def with_a_provider(
    guest: Guest, api: AdminApi, declaration: Declaration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The client's secret of ``settings.oidc``, which the provider was shown."""
    with elsewhere(guest, api, declaration.panel, tmp_path_factory.mktemp("provider")):
        steps = json.loads(guest.run("argos", "oidc", "test", "--json"))
        assert all(step["done"] for step in steps), steps
        yield {
            "provider's client secret": CLIENT_SECRET,
            "provider's Basic credentials": f"argos:{quote(CLIENT_SECRET, safe='')}",
        }


@pytest.fixture
def with_a_relay(guest: Guest, api: AdminApi, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The password of ``settings.mail``, with which the runtime has signed in at a relay."""
    with mailbox(guest, tmp_path) as relay:
        assert api.request("PUT", "/v1/secrets/e2e-smtp", {"value": SMTP_PASSWORD}).status == 200
        mail = {
            "host": relay.address,
            "port": relay.server.port,
            "username": "argos",
            "password": {"secret": "e2e-smtp"},
            "sender": "argos@home.example",
            "recipients": ["me@home.example"],
            "trusted_ca": relay.authority,
        }
        assert api.request("POST", "/v1/config/apply", {"owner": "e2e-mail", "settings": {"mail": mail}}).status == 200
        steps = json.loads(guest.run("argos", "mail", "test", "--json"))
        assert [step["step"] for step in steps if step["done"]][-1] == "accepted", steps
        yield {"SMTP password": SMTP_PASSWORD, "SMTP sign-in": f"\0argos\0{SMTP_PASSWORD}"}
    off = {"owner": "e2e-mail", "settings": {"mail": {"enabled": False}}}
    assert api.request("POST", "/v1/config/apply", off).status == 200
    api.request("DELETE", "/v1/secrets/e2e-smtp")


@pytest.fixture
def issued(
    guest: Guest, declaration: Declaration, more_hosts: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The keys that Caddy made for an account at a CA, and for a certificate of it."""
    name = declaration.name("e2e-issued")
    place = tmp_path_factory.mktemp("pebble")
    with Pebble(place, 80, 443, address=guest.gateway, resolves_to=guest.address) as pebble:
        ours = {"mode": "auto", "ca": pebble.directory, "ca_root": pebble.authority.pem}
        more_hosts(declaration.host("e2e-issued", tls=ours))

        def key_of(pattern: str) -> str:
            """The second line of the one such file, which is the first of the key's own."""
            top = "/var/lib/argos-caddy"
            return guest.shell(f"find {top} -path '{top}/{pattern}' -exec sed -n 2p {{}} +").strip()

        until("the CA signs", lambda: key_of(f"certificates/*/{name}/{name}.key"), within=240)
        yield {
            "ACME account's key": key_of(f"acme/*{pebble.port}*/users/*.key"),
            "key of an ACME certificate": key_of(f"certificates/*/{name}/{name}.key"),
        }


@pytest.fixture
def planted(api: AdminApi) -> Iterator[str]:
    value = "planted-" + secrets.token_hex(16)
    assert api.request("PUT", "/v1/secrets/e2e-planted", {"value": value}).status == 200
    yield value
    api.request("DELETE", "/v1/secrets/e2e-planted")


@pytest.fixture
def secretive(api: AdminApi, declaration: Declaration, planted: str) -> Iterator[str]:
    """The address of a host whose upstream is given the planted secret."""
    assert planted
    headers = {"set": {"X-Upstream-Key": {"secret": "e2e-planted"}}}
    hosts = [declaration.host("e2e-secretive", request_headers=headers)]
    assert api.request("POST", "/v1/config/apply", {"owner": "e2e-secretive", "hosts": hosts}).status == 200
    yield f"https://{declaration.name('e2e-secretive')}/"
    assert api.request("POST", "/v1/config/apply", {"owner": "e2e-secretive", "prune": True}).status == 200


@pytest.fixture
def of_every_kind(api: AdminApi, declaration: Declaration) -> Iterator[dict[str, str]]:
    """A DNS provider's token, the key of an own certificate, and what comes later as named secrets."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    values = {
        "e2e-dns-token": "dns-" + secrets.token_hex(20),
        "e2e-telegram-token": f"123456789:{secrets.token_urlsafe(26)}",
        "e2e-vapid-key": secrets.token_urlsafe(32),
        "e2e-own-key": pem,
    }
    for name, value in values.items():
        assert api.request("PUT", f"/v1/secrets/{name}", {"value": value}).status == 200
    own = {"name": "e2e-own", "certificate": chain(declaration.name("e2e-own"), key), "key": {"secret": "e2e-own-key"}}
    dns = {"name": "e2e-dns", "type": "cloudflare", "api_token": {"secret": "e2e-dns-token"}}
    document = {"owner": "e2e-kinds", "certificates": [own], "dns_providers": [dns]}
    answer = api.request("POST", "/v1/config/apply", document)
    assert answer.status == 200, answer
    yield {
        "DNS token": values["e2e-dns-token"],
        "Telegram token": values["e2e-telegram-token"],
        "VAPID key": values["e2e-vapid-key"],
        "key of an own certificate": pem.splitlines()[1],
    }
    gone = [{"name": "e2e-own", "state": "absent"}], [{"name": "e2e-dns", "state": "absent"}]
    api.request("POST", "/v1/config/apply", {"owner": "e2e-kinds", "certificates": gone[0], "dns_providers": gone[1]})
    for name in values:
        api.request("DELETE", f"/v1/secrets/{name}")


def chain(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate for ``name`` that signs itself."""
    subject, now = x509.Name.from_rfc4514_string(f"CN={name}"), datetime.now(UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - timedelta(1), now + timedelta(90))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.fixture
def archive(guest: Guest) -> Iterator[Callable[[], str]]:
    """Makes a backup and gives its name; it is removed at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(json.loads(guest.run("argos", "backup", "create", "--json"))[0]["name"])
        return made[-1]

    yield make
    for name in made:
        guest.run("argos", "backup", "delete", name)


@pytest.mark.threat("SEC-1")
@pytest.mark.threat("SEC-3")
def test_no_secret_is_in_a_log_the_journal_caddys_configuration_or_a_readable_file(
    guest: Guest,
    declaration: Declaration,
    planted: str,
    secretive: str,
    visitor: Visitor,
    signed_in: Visitor,
    alice: Person,
    enrolled: dict[str, str],
    of_every_kind: dict[str, str],
    with_a_provider: dict[str, str],
    with_a_relay: dict[str, str],
    issued: dict[str, str],
    archive: Callable[[], str],
    people: People,
    panel: Panel,
    new_visitor: Callable[..., Visitor],
) -> None:
    until(
        "the upstream gets the secret",
        lambda: Received.of(visitor.get(secretive).content).all("x-upstream-key") == [planted],
        within=60,
    )
    bouncer = guest.shell("cat /run/argos-credentials/crowdsec-bouncer-key").strip()
    machine = guest.shell("sed -n 's/^password: *//p' /etc/crowdsec/local_api_credentials.yaml").strip()
    master = master_key(guest)
    wanted = {
        "master key": master,
        "bouncer key": bouncer,
        "machine password": machine,
        "first admin password": (guest.state / "admin-password").read_text().strip(),
        "alice's password": alice.password,
        "alice's session": signed_in.http.cookies["__Secure-argos_session"],
        "alice's panel session": signed_in.http.cookies["__Host-argos_panel"],
        "planted secret": planted,
        "key of Caddy's CA": guest.shell("sed -n 2p /var/lib/argos-caddy/pki/authorities/local/root.key").strip(),
        **enrolled,
        **of_every_kind,
        **with_a_provider,
        **with_a_relay,
        **issued,
    }
    assert len(wanted) == 23
    assert all(len(value) >= 9 for value in wanted.values()), {name: len(value) for name, value in wanted.items()}
    name = archive()
    keeper = people.create("e2e-keeper", "admin", must_change=False)
    browser = new_visitor()
    panel.sign_in(browser, keeper)
    downloaded = browser.get(f"{panel.url}/backups/{name}").content
    assert downloaded.startswith(b"argos backup 1\n")
    assert len(downloaded) == int(guest.run("stat", "-c", "%s", f"/var/lib/argos-backups/{name}"))
    for what, value in wanted.items():
        assert not any(base64.b64decode(form) in downloaded for form in forms_of(value)), what
    for unit in ("argos", "argos-gate", "argos-caddy", "argos-credentials", "argos-backup"):
        assert guest.run("systemctl", "show", "-p", "LimitCORE", "--value", unit).strip() == "0", unit
    dies = guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos").strip()
    guest.run("kill", "-ABRT", dies)  # what would leave a core dump
    until(
        "the runtime is back",
        lambda: guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos").strip() not in {"0", dies},
        within=240,
    )
    until(
        "the panel answers again",
        lambda: visitor.get(f"https://{declaration.panel}/login").status_code < 400,
        within=240,
    )
    hits = search(guest, wanted)
    assert [hit for hit in hits if stands(*hit) is None] == []
    assert {hit[0] for hit in hits} == STANDS.keys(), "the search sees what is there"
    for what, path in hits:
        owner, mode = guest.run("stat", "-c", "%U %a", path).split()
        wanted_owner, allowed = stands(what, path) or ("", 0)
        assert (owner, int(mode, 8) & ~allowed) == (wanted_owner, 0), f"{path} is {owner}'s with mode {mode}"


# Writes a value into files, the journal and a process's environment, where a leak would put it.
_PLANT = r"""
import os, subprocess, sys
value = sys.stdin.read().strip()
for path, before in (("/var/tmp/argos-e2e-findable", 0), ("/dev/shm/argos-e2e-findable", 0),
                     ("/var/tmp/argos-e2e-large", (80 << 20) - 20)):
    with open(path, "wb") as file:
        file.truncate(before)
        file.seek(0, 2)
        file.write(b"x" * 9 + value.encode() + b"x" * 100)
subprocess.run(["systemd-cat", "-t", "argos-e2e"], input=value.encode(), check=True)
subprocess.run(["systemd-run", "--unit=argos-e2e-findable", "-E", "FINDABLE=" + value, "sleep", "600"], check=True)
"""


@pytest.mark.threat("SEC-3")
def test_the_search_for_secrets_finds_one_where_there_is_one(
    guest: Guest, api: AdminApi, declaration: Declaration
) -> None:
    value = "findable-" + secrets.token_hex(16)
    host = declaration.host("e2e-findable", request_headers={"set": {"X-Findable": value}})
    assert api.request("POST", "/v1/config/apply", {"owner": "e2e-findable", "hosts": [host]}).status == 200
    try:
        guest.python(_PLANT, stdin=value)
        guest.run("journalctl", "--sync")
        hits = search(guest, {"it": value})
        with watching(guest, {"it": value}) as watched:
            guest.run("env", f"OTHER={value}", "sleep", "3")
    finally:
        guest.shell("systemctl stop argos-e2e-findable; rm -f /var/tmp/argos-e2e-* /dev/shm/argos-e2e-findable")
        gone = {"owner": "e2e-findable", "prune": True}
        assert api.request("POST", "/v1/config/apply", gone).status == 200
    files = {"/var/tmp/argos-e2e-findable", "/dev/shm/argos-e2e-findable", "/var/tmp/argos-e2e-large"}
    assert {where for _unused, where in hits} >= {*files, "journal", "/config", "environ of sleep"}
    assert ("environ: it",) in [one.found for one in watched.processes if one.command == "sleep 3"]


@pytest.mark.threat("SEC-3")
def test_the_watch_knows_the_unit_of_a_process_that_ends_while_it_is_read(guest: Guest) -> None:
    value = "findable-" + secrets.token_hex(16)
    many = "for each in $(seq 40); do (for time in $(seq 60); do sleep 0.02; done) & done; wait"
    with watching(guest, {"it": value}) as watched:
        given = ("--unit=argos-e2e-brief", "-E", f"FINDABLE={value}")
        guest.run("systemd-run", "-q", "--wait", *given, "sh", "-c", many)
    units = {one.unit for one in watched.processes if "environ: it" in one.found}
    assert units == {"argos-e2e-brief.service"}


@pytest.mark.threat("SEC-3")
def test_no_child_of_a_backup_or_of_caddys_validation_has_a_secret_in_its_environment(
    guest: Guest, api: AdminApi, planted: str, declaration: Declaration, archive: Callable[[], str]
) -> None:
    refused = declaration.host("e2e-refused", waf={"mode": "block", "custom_rules": [BAD_RULE]})
    hosts = [refused, declaration.host("e2e-taken")]  # without the first Caddy is asked again, by a child
    master = master_key(guest)
    with watching(guest, {"master key": master, "planted secret": planted}) as watched:
        name = archive()
        guest.run("argos", "restore", "--dry-run", "--force", f"/var/lib/argos-backups/{name}")
        guest.systemctl("start", "argos-backup.service")
        answer = api.request("POST", "/v1/config/apply", {"owner": "e2e-refused", "hosts": hosts})
        assert answer.status == 422, answer
    kinds = {(one.user, one.command.partition(" --")[0]) for one in watched.processes}
    assert ("argos", "/usr/bin/argos-caddy validate") in kinds, kinds
    units = {(one.user, one.unit) for one in watched.processes}
    assert {("argos", "argos-backup.service"), ("argos-caddy", "argos-backup.service")} <= units, units
    assert any(" restore" in one.command for one in watched.processes)
    demand_only_holders(guest, watched)


@pytest.mark.threat("SEC-3")
def test_what_the_controller_keeps_is_its_owners_alone(guest: Guest) -> None:
    secret = [path for path in guest.state.iterdir() if path.name in ("master.key", "admin-password", "id_ed25519")]
    assert len(secret) >= 2
    for path in secret:
        assert path.stat().st_mode & 0o077 == 0, path
    master = (guest.state / "master.key").read_text().strip().encode()
    for folder in ("build", ".build"):
        for path in (CHECKOUT / folder).rglob("*.log"):
            assert master not in path.read_bytes(), path
