"""`argos decision …`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import NOT_FOUND, OK, USAGE, Stop

if TYPE_CHECKING:
    from argos.threat.service import Change


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "decision",
        "bans: list them, ban by hand, lift a ban",
        "sudo argos decision list --ip 203.0.113.7\n"
        "  sudo argos decision add 203.0.113.7 --duration 7d --reason 'floods the shop'\n"
        "  sudo argos decision delete 203.0.113.7",
    )
    listing = add_command(group, "list", "list bans in force", "sudo argos decision list --origin argos", list_all)
    listing.add_argument("--ip", default="", help="bans of this address, or of a range that contains it")
    listing.add_argument("--range", default="", help="bans that overlap this range")
    listing.add_argument("--origin", default="", help="bans of this origin: argos, crowdsec, cscli, CAPI, lists")
    listing.add_argument("--scenario", default="", help="bans whose scenario or reason contains this text")
    listing.add_argument("--limit", type=int, default=100, help="maximum number; default: 100")
    listing.add_argument("--offset", type=int, default=0, help="skip this many of the newest")
    add_json(listing)
    adding = add_command(
        group,
        "add",
        "ban an address or a range; takes effect within 20 seconds",
        "sudo argos decision add 203.0.113.0/24 --duration 1d --reason 'scans every night'",
        add,
    )
    adding.add_argument("value", metavar="ADDRESS", help="an address, or a range such as 203.0.113.0/24")
    adding.add_argument("--duration", default="4h", help="such as 30m, 4h, 7d, at most 8760h (default: 4h)")
    adding.add_argument("--reason", default="banned by hand", help="stored with the ban")
    adding.add_argument("--force", action="store_true", help="also ban your own address, or a private one")
    add_json(adding)
    remove = add_command(
        group,
        "delete",
        "lift all bans of exactly this address or range",
        "sudo argos decision delete 203.0.113.7",
        delete,
    )
    remove.add_argument("value", metavar="ADDRESS", nargs="?", help="an address or a range")
    remove.add_argument("--id", type=int, help="one ban, by the number in the list")
    add_json(remove)


def list_all(options: argparse.Namespace) -> int:
    """Print the decisions in force."""
    from argos.cli.session import print_json, services
    from argos.threat.service import Query
    from argos.threat.target import duration_text

    query = Query(options.ip, options.range, options.origin, options.scenario, options.limit, options.offset)
    with services() as here:
        page = here.application.decisions.find(query)
    if options.json:
        import msgspec

        print_json(msgspec.to_builtins(page))
        return OK
    for one in page.decisions:
        left = duration_text(one.seconds)
        print(f"{one.id:>8}  {one.value:<40} {one.type:<8} {one.origin:<12} {left:<14} {one.scenario}")
    print(f"{len(page.decisions)} of {page.total} bans" if page.total else "nobody is banned")
    return OK


def add(options: argparse.Namespace) -> int:
    """Ban an address or a range."""
    from argos.cli.caller import ssh_peers
    from argos.cli.session import services
    from argos.threat.service import Wanted

    peers = ssh_peers()
    with services() as here:
        wanted = Wanted(
            value=options.value,
            duration=options.duration,
            reason=options.reason,
            force=options.force,
            caller_addresses=peers,
        )
        change = here.application.decisions.put(here.actor, wanted)
    return _done(
        options, change, f"{options.value}: banned for {options.duration}", f"{options.value}: already banned like this"
    )


def delete(options: argparse.Namespace) -> int:
    """End the decisions on an address or a range, or one by its id."""
    from argos.cli.session import services

    if (options.value is None) == (options.id is None):
        raise Stop(USAGE, "give an address or a range, or --id")
    with services() as here:
        decisions = here.application.decisions
        if options.id is not None:
            change = decisions.remove_one(here.actor, options.id)
        else:
            change = decisions.remove(here.actor, options.value)
    if not change.changed:
        raise Stop(NOT_FOUND, "; ".join((f"{options.value}: not banned", *change.warnings)))
    return _done(options, change, f"{options.value or options.id}: ban lifted", "")


def _done(options: argparse.Namespace, change: Change, done: str, already: str) -> int:
    from argos.cli.session import print_json

    if options.json:
        import msgspec

        print_json(msgspec.to_builtins(change))
        return OK
    print(done if change.changed else already)
    for warning in change.warnings:
        print(f"warning: {warning}")
    return OK
