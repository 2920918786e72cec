"""The guest's network is chosen where nothing else is, and what is in its way is named."""

from __future__ import annotations

import importlib.util
import ipaddress
import struct
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "roles" / "guest" / "files" / "network_plan.py"
HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("network_plan", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan = load()


def kernel_routes(*routes: tuple[str, str]) -> str:
    """Return /proc/net/route's text for these (interface, network)."""
    lines = [HEAD]
    for interface, network in routes:
        parsed = ipaddress.IPv4Network(network)
        words = [struct.unpack("<L", address.packed)[0] for address in (parsed.network_address, parsed.netmask)]
        lines.append(f"{interface}\t{words[0]:08X}\t00000000\t0001\t0\t0\t0\t{words[1]:08X}\t0\t0\t0\n")
    return "".join(lines)


def in_use(*routes: tuple[str, str]) -> list[tuple[str, ipaddress.IPv4Network]]:
    return plan.routes_in_use(kernel_routes(*routes), "ag0")


def test_two_guests_get_different_networks_that_stay_the_same() -> None:
    first, second = plan.choose("argos-aaaaaa", "", "", []), plan.choose("argos-bbbbbb", "", "", [])
    assert first != second
    assert first == plan.choose("argos-aaaaaa", "", "", [])
    assert first.subnet_of(ipaddress.IPv4Network("10.64.0.0/10"))


def test_a_taken_candidate_is_passed_over() -> None:
    wanted = plan.choose("argos-aaaaaa", "", "", [])
    other = plan.choose("argos-aaaaaa", "", "", in_use(("docker0", str(wanted.supernet(new_prefix=20)))))
    assert not other.overlaps(wanted)


@pytest.mark.parametrize("route", ["10.77.0.0/16", "10.77.5.0/24", "10.77.5.128/25", "10.77.5.9/32"])
def test_a_clash_names_the_interface_and_its_network(route: str) -> None:
    with pytest.raises(plan.Taken, match=f"10.77.5.0/24 is taken.*{route}.*tun7"):
        plan.choose("guest", "10.77.5.0/24", "", in_use(("tun7", route)))


def test_the_guest_s_own_bridge_and_the_default_route_are_no_clash() -> None:
    routes = in_use(("ag0", "10.77.5.0/24"), ("eth0", "0.0.0.0/0"))
    assert str(plan.choose("guest", "10.77.5.0/24", "", routes)) == "10.77.5.0/24"


@pytest.mark.parametrize("wrong", ["10.77.5.0/16", "10.77.5.1/24", "house", "10.77.5.0/25"])
def test_a_network_that_is_no_24_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(plan.Taken, match=r"argos_guest_subnet: .*10\.77\.0\.0/24"):
        plan.choose("guest", wrong, "", [])


def test_what_was_chosen_before_is_kept_unless_another_is_asked_for() -> None:
    assert str(plan.choose("guest", "", "10.70.1.0/24", [])) == "10.70.1.0/24"
    assert str(plan.choose("guest", "10.71.1.0/24", "10.70.1.0/24", [])) == "10.71.1.0/24"


def test_name_servers_on_the_loopback_are_passed_over_for_the_resolver_s_own() -> None:
    stub, real = "nameserver 127.0.0.53\n", "nameserver 2001:db8::1\nnameserver 192.0.2.53\n"
    assert plan.nameservers([stub, real]) == ["192.0.2.53"]
    assert plan.nameservers([stub]) == []


def test_a_port_that_a_service_listens_on_is_found_and_one_on_the_loopback_is_none() -> None:
    head = "  sl  local_address rem_address   st\n"
    everywhere, loopback = "   0: 00000000:01BB 00000000:0000 0A\n", "   1: 0100007F:0050 00000000:0000 0A\n"
    assert plan.port_in_use(head + everywhere, 443, plan.LISTENING)
    assert not plan.port_in_use(head + everywhere, 80, plan.LISTENING)
    assert not plan.port_in_use(head + loopback, 80, plan.LISTENING)
