"""As each user of the guest: what it must not open, it cannot. The matrix is exact, both ways."""

from __future__ import annotations

import json

import pytest
from lab.guest import Guest

USERS = ("argos", "argos-gate", "argos-caddy", "nobody")
NOBODY_OF_OURS: frozenset[str] = frozenset()

# What is tried (connect, send a datagram, read, write), and who alone may do it.
MAY = {
    ("connect", "/run/argos-gate/gate.sock"): {"argos-gate", "argos-caddy"},
    ("connect", "/run/argos-panel/panel.sock"): {"argos", "argos-caddy"},
    ("connect", "/run/argos-admin/admin.sock"): {"argos"},
    ("connect", "/run/argos-caddy/admin.sock"): {"argos-caddy", "argos"},
    ("send", "/run/argos-seen/seen.sock"): {"argos", "argos-gate"},
    ("read", "/run/argos-epoch/epoch"): {"argos", "argos-gate"},
    ("write", "/run/argos-epoch/epoch"): {"argos"},
    ("read", "/run/argos-credentials/crowdsec-bouncer-key"): {"argos", "argos-caddy"},
    ("write", "/run/argos-credentials/crowdsec-bouncer-key"): NOBODY_OF_OURS,  # 0440: its owner replaces it
    ("create", "/run/argos-credentials"): {"argos"},
    ("create", "/run/argos-gate"): {"argos-gate"},
    ("create", "/run/argos-panel"): {"argos"},
    ("create", "/run/argos-admin"): {"argos"},
    ("create", "/run/argos-epoch"): {"argos"},
    ("read", "/var/lib/argos/argos.db"): {"argos", "argos-gate"},
    ("write", "/var/lib/argos/argos.db"): {"argos"},
    ("create", "/var/lib/argos"): {"argos"},
    ("read", "/var/lib/argos-edge/caddy.json"): {"argos", "argos-caddy"},
    ("write", "/var/lib/argos-edge/caddy.json"): {"argos"},
    ("create", "/var/lib/argos-edge"): {"argos"},
    ("list", "/var/lib/argos-caddy"): {"argos-caddy"},
    ("read", "/var/log/argos-caddy/access.log"): {"argos", "argos-caddy"},
    ("write", "/var/log/argos-caddy/access.log"): {"argos-caddy"},
    ("read", "/etc/argos/argos.env"): NOBODY_OF_OURS,
    ("write", "/etc/argos/gate.env"): NOBODY_OF_OURS,
    ("read", "/etc/crowdsec/local_api_credentials.yaml"): NOBODY_OF_OURS,
    ("write", "/etc/crowdsec/config.yaml"): NOBODY_OF_OURS,
    ("write", "/usr/bin/argos-caddy"): NOBODY_OF_OURS,
    ("create", "/opt/argos/venv/bin"): NOBODY_OF_OURS,
    ("create", "/etc/argos"): NOBODY_OF_OURS,
    ("create", "/etc/argos-caddy"): NOBODY_OF_OURS,
    ("create", "/usr/lib/tmpfiles.d"): NOBODY_OF_OURS,
    ("create", "/etc/systemd/system"): NOBODY_OF_OURS,
}

_TRY = """
import json, os, socket, sys
def connect(path, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(5)
    s.connect(path)
def send(path): connect(path, socket.SOCK_DGRAM)
def read(path): os.close(os.open(path, os.O_RDONLY))
def write(path): os.close(os.open(path, os.O_WRONLY))
def create(path):
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(path)
def listing(path): os.listdir(path)
acts = dict(connect=connect, send=send, read=read, write=write, create=create, list=listing)
found = []
for act, path in json.load(sys.stdin):
    try:
        acts[act](path)
        found.append("yes")
    except PermissionError:
        found.append("no")
    except OSError as error:
        found.append(repr(error))
print(json.dumps(found))
"""


@pytest.mark.threat("LOG-3")
@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("user", USERS)
def test_each_user_opens_what_it_needs_and_nothing_else(guest: Guest, user: str) -> None:
    found = json.loads(guest.python(_TRY, user=user, stdin=json.dumps(list(MAY))))
    expected = ["yes" if user in allowed else "no" for allowed in MAY.values()]
    wrong = {key: (want, got) for key, want, got in zip(MAY, expected, found, strict=True) if want != got}
    assert not wrong, f"{user}: (expected, found) {wrong}"


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("user", USERS)
def test_no_user_reads_the_environment_of_the_process_that_holds_the_key(guest: Guest, user: str) -> None:
    main = guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos").strip()
    assert int(main) > 1
    script = "import sys; open(f'/proc/{sys.argv[1]}/environ','rb').read()"
    with pytest.raises(AssertionError, match=r"PermissionError|FileNotFoundError"):
        guest.python(script, main, user=user)


@pytest.mark.threat("SEC-3")
def test_our_users_share_no_group_and_own_no_shell(guest: Guest) -> None:
    for user in USERS[:3]:
        assert guest.run("id", "-Gn", user).split() == [user]
        assert guest.run("getent", "passwd", user).strip().rsplit(":", 1)[1] in ("/usr/sbin/nologin", "/bin/false")
    assert guest.run("getent", "group", "argos-admin").strip().endswith(":")


@pytest.mark.threat("SEC-3")
def test_the_gate_has_no_key_and_no_network(guest: Guest) -> None:
    main = guest.run("systemctl", "show", "-p", "MainPID", "--value", "argos-gate").strip()
    environ = guest.shell(f"tr '\\0' '\\n' < /proc/{main}/environ")
    assert "KEY" not in environ
    links = guest.run("nsenter", "-t", main, "-n", "ip", "-o", "link").splitlines()
    assert [line.split(":")[1].strip() for line in links] == ["lo"]


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("unit", ["argos", "argos-gate"])
def test_systemds_own_judgement_of_the_hardening(guest: Guest, unit: str) -> None:
    line = guest.run("systemd-analyze", "security", "--no-pager", f"{unit}.service").strip().splitlines()[-1]
    figure = float(line.split(":")[1].split()[0])
    assert figure <= 2.5, line
