"""From outside only four doors answer, and no secret lies where it could be read."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lab.admin_api import AdminApi, Declaration
from lab.echo import Received
from lab.guest import CHECKOUT, Guest
from lab.namespace import PublicNetwork
from lab.people import Panel, People, Person
from lab.polling import until
from lab.visitor import Visitor

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


# Looks for values (on stdin, as base64) where none may stand; prints where it found which.
_SEARCH = r"""
import base64, json, os, pathlib, socket, stat, subprocess, sys
asked = json.load(sys.stdin)
values = {name: [base64.b64decode(form) for form in forms] for name, forms in asked.items()}
hits = []
def look(where, data):
    for name, forms in values.items():
        if any(form in data for form in forms):
            hits.append([name, where])
# Before that the guest knew no secret: of what a package holds only what was changed since is read.
begun = os.stat("/usr/lib/tmpfiles.d/argos.conf").st_mtime
HOLD_NO_FILES, PACKAGES = {"dev", "proc", "sys"}, {"boot", "opt", "usr"}
def files(top):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(info.st_mode) and info.st_size < 64 << 20:
                yield path, info
def search(top, since):
    for path, info in files(top):
        try:
            if info.st_ctime >= since:
                look(path, pathlib.Path(path).read_bytes())
        except OSError:
            pass
for top in sorted(set(os.listdir("/")) - HOLD_NO_FILES):
    if not os.path.islink("/" + top):
        search("/" + top, begun if top in PACKAGES else 0)
look("journal", subprocess.run(["journalctl", "--no-pager", "-o", "export", "-a"], capture_output=True).stdout)
with socket.socket(socket.AF_UNIX) as admin:
    admin.settimeout(20)
    admin.connect("/run/argos-caddy/admin.sock")
    admin.sendall(b"GET /config/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
    config = b""
    while piece := admin.recv(65536):
        config += piece
assert b"argos" in config, config[:300]
look("/config", config)
holders = subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", "argos"], capture_output=True, text=True)
for process in pathlib.Path("/proc").iterdir():
    if not process.name.isdigit() or int(process.name) == os.getpid():
        continue
    try:
        look(f"cmdline of {process.name}", (process / "cmdline").read_bytes())
        if process.name != holders.stdout.strip():
            look(f"environ of {(process / 'comm').read_text().strip()}", (process / "environ").read_bytes())
    except OSError:
        pass
print(json.dumps(hits))
"""


def forms_of(value: str) -> list[str]:
    """Return a secret as it might stand somewhere: plain, hex, base64 (and, for a key in base64, its bytes)."""
    plain = value.encode()
    forms = {plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")[:-1], plain.replace(b" ", b"%20")}
    if len(value) == 44 and value.endswith("="):
        raw = base64.b64decode(value)
        forms |= {raw, raw.hex().encode(), base64.urlsafe_b64encode(raw), value.rstrip("=").encode()}
    return [base64.b64encode(form).decode() for form in forms]


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
}


def stands(name: str, path: str) -> tuple[str, int] | None:
    """Whose file ``path`` must be, and what its mode may allow; None where the secret may not stand."""
    return next((rule for pattern, rule in STANDS.get(name, {}).items() if fnmatch.fnmatchcase(path, pattern)), None)


@pytest.fixture
def enrolled(
    api: AdminApi, people: People, panel: Panel, new_visitor: Callable[..., Visitor]
) -> Iterator[dict[str, str]]:
    """The TOTP secret and two recovery codes of somebody who has just set them up, and a provider's client secret."""
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
    client = "client-" + secrets.token_hex(16)
    assert api.request("PUT", "/v1/secrets/e2e-oidc-client", {"value": client}).status == 200
    yield {
        "TOTP secret": secret[0],
        "recovery code": codes[0],
        "another recovery code": codes[1],
        "provider's client secret": client,
        "enrolled's session": browser.http.cookies["__Secure-argos_session"],
    }
    api.request("DELETE", "/v1/secrets/e2e-oidc-client")


@pytest.fixture
def planted(api: AdminApi) -> Iterator[str]:
    value = "planted-" + secrets.token_hex(16)
    assert api.request("PUT", "/v1/secrets/e2e-planted", {"value": value}).status == 200
    yield value
    api.request("DELETE", "/v1/secrets/e2e-planted")


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
    more_hosts,
    visitor: Visitor,
    signed_in: Visitor,
    alice: Person,
    enrolled: dict[str, str],
    of_every_kind: dict[str, str],
    archive: Callable[[], str],
    people: People,
    panel: Panel,
    new_visitor: Callable[..., Visitor],
) -> None:
    more_hosts(
        declaration.host("e2e-secretive", request_headers={"set": {"X-Upstream-Key": {"secret": "e2e-planted"}}})
    )
    url = f"https://{declaration.name('e2e-secretive')}/"
    until(
        "the upstream gets the secret",
        lambda: Received.of(visitor.get(url).content).all("x-upstream-key") == [planted],
        within=60,
    )
    bouncer = guest.shell("cat /run/argos-credentials/crowdsec-bouncer-key").strip()
    machine = guest.shell("sed -n 's/^password: *//p' /etc/crowdsec/local_api_credentials.yaml").strip()
    master = guest.shell("sed -n 's/^ARGOS_MASTER_KEY=//p' /etc/argos/argos.env").strip().strip('"')
    assert len(base64.b64decode(master)) == 32
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
    }
    assert all(len(value) >= 9 for value in wanted.values()), {name: len(value) for name, value in wanted.items()}
    asked = json.dumps({name: forms_of(value) for name, value in wanted.items()})
    name = archive()
    keeper = people.create("e2e-keeper", "admin", must_change=False)
    browser = new_visitor()
    panel.sign_in(browser, keeper)
    downloaded = browser.get(f"{panel.url}/backups/{name}").content
    assert downloaded.startswith(b"argos backup 1\n")
    assert len(downloaded) == int(guest.run("stat", "-c", "%s", f"/var/lib/argos-backups/{name}"))
    for what, forms in json.loads(asked).items():
        assert not any(base64.b64decode(form) in downloaded for form in forms), what
    for unit in ("argos", "argos-gate", "argos-caddy", "argos-credentials", "argos-backup"):
        assert guest.run("systemctl", "show", "-p", "LimitCORE", "--value", unit).strip() == "0", unit
    dies = guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos").strip()
    guest.run("kill", "-ABRT", dies)  # what would leave a core dump
    until(
        "the runtime is back",
        lambda: guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos").strip() not in {"0", dies},
        within=90,
    )
    until(
        "the panel answers again",
        lambda: visitor.get(f"https://{declaration.panel}/login").status_code < 400,
        within=90,
    )
    hits = json.loads(guest.run("python3", "-c", _SEARCH, stdin=asked, timeout=180))
    assert [hit for hit in hits if stands(*hit) is None] == []
    assert {hit[0] for hit in hits} == STANDS.keys(), "the search sees what is there"
    for what, path in hits:
        owner, mode = guest.run("stat", "-c", "%U %a", path).split()
        wanted_owner, allowed = stands(what, path) or ("", 0)
        assert (owner, int(mode, 8) & ~allowed) == (wanted_owner, 0), f"{path} is {owner}'s with mode {mode}"


@pytest.mark.threat("SEC-3")
def test_the_search_for_secrets_finds_one_where_there_is_one(guest: Guest) -> None:
    value = "findable-" + secrets.token_hex(16)
    guest.shell("umask 022; cat > /var/tmp/argos-e2e-findable", stdin=f"x{value}x")
    try:
        hits = json.loads(guest.run("python3", "-c", _SEARCH, stdin=json.dumps({"it": forms_of(value)}), timeout=120))
    finally:
        guest.run("rm", "-f", "/var/tmp/argos-e2e-findable")
    assert ["it", "/var/tmp/argos-e2e-findable"] in hits


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
