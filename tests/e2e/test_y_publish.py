"""Publishing through the machine that holds the guest: traffic comes in, and the client's address with it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.guest import CHECKOUT, Guest
from lab.namespace import ip
from lab.polling import until

HOST_SIDE, OUTSIDE = "198.19.77.1", "198.19.77.2"  # RFC 2544's range: nobody's on the internet


def publish(guest: Guest, *ports: str) -> None:
    """Run role guest as the operator does, with these ports published."""
    extra = json.dumps({"argos_guest_publish": list(ports)})
    command = [sys.executable, str(CHECKOUT / "scripts" / "up.py"), "--guest", guest.name]
    done = subprocess.run(
        [*command, "--", "--tags", "guest", "-e", extra], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.fixture(scope="module")
def outside(guest: Guest) -> Iterator[str]:
    """Publish the web ports and return a namespace that reaches this machine as its neighbours do."""
    digest = hashlib.sha256(guest.name.encode()).hexdigest()[:8]
    name, cable = f"argos-out-{digest}", f"out{digest}"
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    try:
        publish(guest, "80/tcp", "443/tcp", "443/udp")
        ip("netns", "add", name)
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{HOST_SIDE}/30", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", name, "addr", "add", f"{OUTSIDE}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", HOST_SIDE)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        publish(guest)


def curl(namespace: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ip", "netns", "exec", namespace, "curl", "-sS", "--max-time", "60", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.threat("ING-5")
def test_a_published_port_brings_the_clients_own_address(guest: Guest, declaration: Declaration, outside: str) -> None:
    name = declaration.name("e2e-open")
    asked = curl(outside, "--cacert", str(guest.ca), "--resolve", f"{name}:443:{HOST_SIDE}", f"https://{name}/echo")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["method"] == "GET"

    def clients() -> set[str]:
        text = guest.shell("tail -n 20 /var/log/argos-caddy/access.log")
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
        return {one["request"]["client_ip"] for one in map(json.loads, lines) if one["request"]["host"] == name}

    until("the log names the client", lambda: OUTSIDE in clients(), within=60)  # written once the answer is out


def reaches(namespace: str, address: str, port: int, *, within: int = 3) -> bool:
    connect = ["timeout", str(within), "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    command = ["ip", "netns", "exec", namespace, *connect]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_nobody_is_routed_into_the_guests_network_past_what_is_published(guest: Guest, outside: str) -> None:
    assert reaches(outside, HOST_SIDE, 443, within=60)
    for port in (22, 443):
        assert not reaches(outside, guest.address, port)
