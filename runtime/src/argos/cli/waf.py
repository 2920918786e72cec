"""`argos waf …`: WAF events, and exclusions for false positives."""

from __future__ import annotations

import argparse
import json

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import OK


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "waf",
        "WAF events, and exclusions for false positives",
        "sudo argos waf events --host wiki.home.example\n"
        "  sudo argos waf explain 3f1c0e6d5b7a9c21\n"
        "  sudo argos waf exclude 3f1c0e6d5b7a9c21 --apply",
    )
    listing = add_command(group, "events", "list the last events, newest first", "sudo argos waf events", events)
    listing.add_argument("--host", default="", help="only events of this host")
    listing.add_argument("--limit", type=_positive, default=20, metavar="N", help="maximum number; default: 20")
    reason = add_command(
        group, "explain", "explain an event, rule by rule", "sudo argos waf explain 3f1c0e6d5b7a9c21", explain
    )
    narrow = add_command(
        group,
        "exclude",
        "show or add the narrowest exclusion that allows such requests",
        "sudo argos waf exclude 3f1c0e6d5b7a9c21 --apply",
        exclude,
    )
    narrow.add_argument("--apply", action="store_true", help="add the exclusion")
    for one in (reason, narrow):
        one.add_argument("event", metavar="EVENT", help="as `argos waf events` names it")
    for one in (listing, reason, narrow):
        add_json(one)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def events(options: argparse.Namespace) -> int:
    """Print the last events, newest first."""
    from argos.cli.session import print_json, services
    from argos.edge.waf_events import printable, recent, verdict
    from argos.edge.waf_exclude import shown_event

    with services() as here:
        found = recent(here.application.settings.waf_log, options.host, options.limit)
    if options.json:
        print_json([shown_event(event) for event in found])
        return OK
    for event in found:
        ids = " ".join(str(finding.id) for finding in event.rules) or event.reason
        where = printable(f"{event.host_id} {event.method} {event.uri}", 120)
        print(f"{event.key}  {printable(event.ts[:19])}  {printable(event.client_ip, 45)}  {where}")
        print(f"    {verdict(event)}: {ids}")
    if not found:
        print("no events")
    return OK


def explain(options: argparse.Namespace) -> int:
    """Print one event rule by rule, and what would let such a request pass."""
    from argos.cli.session import print_json, services
    from argos.edge.waf_events import find
    from argos.edge.waf_exclude import explain as explained

    with services() as here:
        shown = explained(find(here.application.settings.waf_log, options.event)).shown()
    if options.json:
        print_json(shown)
        return OK
    print(f"{shown['ts']}  {shown['client_ip']}  {shown['host_id']}  policy {shown['policy']} ({shown['mode']})")
    print(f"{shown['method']} {shown['uri']}\n{shown['verdict']}")
    for rule in shown["rules"]:
        level = f", paranoia {rule['paranoia']}" if rule["paranoia"] else ""
        print(f"\n  {rule['id']}  {rule['msg']} ({rule['severity']}{level})")
        if rule["variable"]:
            print(f"    in {rule['variable']}: {rule['value']}")
        if rule["file"]:
            print(f"    from {rule['file']}")
    if shown["problem"]:
        print(f"\nNo exclusion is offered. {shown['problem']}.")
    else:
        print("\nIf this was a legitimate request, these exclusions allow such requests to this host:")
        for exclusion in shown["exclusions"]:
            print(f"  - {json.dumps(exclusion, ensure_ascii=False)}")
        print(f"\nsudo argos waf exclude {options.event}            shows the change\n", end="")
        print(f"sudo argos waf exclude {options.event} --apply    applies it")
    return OK


def exclude(options: argparse.Namespace) -> int:
    """Print the change that lets such requests pass; with ``--apply`` make it."""
    from argos.api.waf import outcome_answer
    from argos.cli.session import print_json, services
    from argos.edge.waf_events import find
    from argos.edge.waf_exclude import difference, propose

    with services() as here:
        state = here.application.state()
        proposal = propose(state, find(here.application.settings.waf_log, options.event))
        engine = here.application.engine
        if options.apply:
            outcome = engine.apply(here.actor, proposal.document, state.etag())
        else:
            outcome = engine.plan(proposal.document)
    if options.json:
        print_json(outcome_answer(proposal, outcome))
        return OK
    print(difference(proposal))
    if not options.apply:
        print("\nNothing has been changed. --apply applies it.")
    if proposal.owner:
        print(f"\n{proposal.owner!r} manages this host. Add the exclusions to its declaration too, or the next run")
        print("removes them.")
    return OK
