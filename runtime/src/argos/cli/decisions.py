"""`argos decision …`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.exits import NOT_FOUND, OK, USAGE, Stop

if TYPE_CHECKING:
    from argos.threat.service import Change


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
    print(f"{len(page.decisions)} of {page.total} decisions" if page.total else "nobody is banned")
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
    return _done(options, change, f"{options.value}: banned for {options.duration}", f"{options.value}: banned already")


def delete(options: argparse.Namespace) -> int:
    """End the decisions on an address or a range, or one by its id."""
    from argos.cli.session import services

    if (options.value is None) == (options.id is None):
        raise Stop(USAGE, "name an address or a range, or one decision with --id")
    with services() as here:
        decisions = here.application.decisions
        if options.id is not None:
            change = decisions.remove_one(here.actor, options.id)
        else:
            change = decisions.remove(here.actor, options.value)
    if not change.changed:
        raise Stop(NOT_FOUND, "; ".join((f"{options.value}: no decision on it is in force", *change.warnings)))
    return _done(options, change, f"{options.value or options.id}: ended", "")


def _done(options: argparse.Namespace, change: Change, done: str, already: str) -> int:
    from argos.cli.session import print_json

    if options.json:
        import msgspec

        print_json(msgspec.to_builtins(change))
        return OK
    print(done if change.changed else already)
    for warning in change.warnings:
        print(f"look: {warning}")
    return OK
