"""`argos mail …`: how mail stands, and the test message."""

from __future__ import annotations

import argparse

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import FAILED, OK


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(commands, "mail", "the mail server that takes notices away (docs/mail.md)")
    standing = add_command(
        group, "status", "say what waits, and what became of the last mail", "sudo argos mail status", status
    )
    trial = add_command(group, "test", "send the test message and report each step", "sudo argos mail test", test)
    trial.add_argument("--to", metavar="ADDRESS", default="", help="one of the declared recipients; without: all")
    for one in (standing, trial):
        add_json(one)


def status(options: argparse.Namespace) -> int:
    """Print how mail stands; 1 while the last one did not go out."""
    import msgspec

    from argos.cli.session import print_json, services
    from argos.clock import to_the_minute

    with services() as here:
        state = here.application.mail.state()
    if options.json:
        print_json(msgspec.to_builtins(state))
    else:
        declared = "on" if state.enabled else "switched off" if state.declared else "not declared"
        print(f"mail is {declared}; notices that wait: {state.waiting}")
        print("the last mail went out " + (to_the_minute(state.sent_at) if state.sent_at else "never"))
        if state.failed_at:
            print(f"the last try, {to_the_minute(state.failed_at)}, failed: {state.failure}")
    return FAILED if state.failure else OK


def test(options: argparse.Namespace) -> int:
    """Send the test message, and print each step."""
    from argos.cli.session import print_json, services

    with services() as here:
        steps = here.application.mail.test(here.actor, options.to)
    if options.json:
        print_json([{"step": step.name, "done": step.done, "message": step.message} for step in steps])
    else:
        for step in steps:
            print(f"{'done  ' if step.done else 'failed'}  {step.name}: {step.message}")
    return OK if steps[-1].done else FAILED
