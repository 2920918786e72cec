"""From outside only four doors answer, and no secret lies where it could be read."""

from __future__ import annotations

import base64
import json
import re
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterator

import pyotp
import pytest
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
def search(top):
    for path, _ in files(top):
        try:
            look(path, pathlib.Path(path).read_bytes())
        except OSError:
            pass
for top in ("/etc", "/home", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"):
    search(top)
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


# Where a secret must stand in clear, and the most that the file's mode may allow (SEC-3, DAT-6).
STANDS = {
    "master key": {"/etc/argos/argos.env": 0o600},
    "bouncer key": {"/run/argos-credentials/crowdsec-bouncer-key": 0o440, "/etc/argos/crowdsec-bouncer-key": 0o640},
    "machine password": {"/etc/crowdsec/local_api_credentials.yaml": 0o640, "/etc/argos/crowdsec-machine": 0o640},
    "planted secret": {"/run/argos-credentials/secret-e2e-planted": 0o440},
}


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
        **enrolled,
    }
    assert all(len(value) >= 9 for value in wanted.values()), {name: len(value) for name, value in wanted.items()}
    asked = json.dumps({name: forms_of(value) for name, value in wanted.items()})
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
    assert [hit for hit in hits if hit[1] not in STANDS.get(hit[0], {})] == []
    assert ["master key", "/etc/argos/argos.env"] in hits, "the search sees what is there"
    for name, path in hits:
        mode = int(guest.run("stat", "-c", "%a", path).strip(), 8)
        assert mode & ~STANDS[name][path] == 0, f"{path} has mode {mode:o}"


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
