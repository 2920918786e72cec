"""`argos key …`: which master key the data wants, its rotation, and its recovery sheet."""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import CONFIGURATION, FAILED, NO_PERMISSION, OK, UNAVAILABLE, Stop

if TYPE_CHECKING:
    from argos.application import Application
    from argos.key_rotation import Progress
    from argos.settings import Settings


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "key",
        "the master key, which unlocks secrets and backups",
        "sudo argos key check\n  sudo argos key rotate --reencrypt\n  sudo argos key sheet --html > sheet.html",
    )
    for name, text, command in (
        ("check", "show which key the data needs and which one is configured", check),
        ("rotate", "move the data to ARGOS_MASTER_KEY_NEXT; run it again if interrupted", rotate),
        ("words", "turn a recovery sheet's 24 words (standard input) into the line for argos.env", words),
    ):
        one = add_command(group, name, text, f"sudo argos key {name}", command)
        add_json(one)
        if name == "rotate":
            one.add_argument(
                "--reencrypt", action="store_true", help="also make new data keys and encrypt every secret again"
            )
    paper = add_command(
        group, "sheet", "print the key as words and a QR code, to keep on paper", "sudo argos key sheet", sheet
    )
    paper.add_argument("--html", action="store_true", help="as an HTML page to print")


def check(options: argparse.Namespace) -> int:
    """Say which key the data wants, and which is given here and to the running service; 78 when they differ."""
    from argos.cli.session import print_json, read_settings, settle
    from argos.doctor.key import check_key, wanted_ids
    from argos.vault import key_id

    settings = read_settings()
    settle(settings)
    given = {
        name: key_id(key)
        for name, key in (
            ("ARGOS_MASTER_KEY", settings.master_key),
            ("ARGOS_MASTER_KEY_NEXT", settings.master_key_next),
        )
        if key is not None
    }
    finding, serving = check_key(settings), _serving(settings)
    facts: dict[str, Any] = {
        "opens": finding.state in {"ok", "warning"},
        "wanted": sorted(wanted_ids(settings.database) or []),
        "given": given,
        "serving": None if serving is None else serving.get("given"),
        "message": finding.message,
    }
    if options.json:
        print_json(facts)
    else:
        print(finding.message)
        print("the data needs: " + (", ".join(facts["wanted"]) or "-"))
        for name, identity in given.items():
            print(f"{name}: {identity}")
        if serving is not None:
            print("the running service has: " + ", ".join(facts["serving"] or []))
        if finding.advice:
            print(finding.advice)
    return OK if facts["opens"] else CONFIGURATION


def rotate(options: argparse.Namespace) -> int:
    """Put the data under ARGOS_MASTER_KEY_NEXT, and with ``--reencrypt`` every secret under new data keys."""
    from argos.cli.session import print_json, services

    with services() as here:
        application = here.application
        settings = application.settings
        outcome: dict[str, Any] = {"rewrapped": False, "from": application.vault.key_id}
        if settings.master_key_next is not None:
            _refuse_unprepared(settings)
            outcome["rewrapped"] = application.rotation.rewrap(here.actor, settings.master_key_next)
        elif not options.reencrypt:
            raise Stop(
                CONFIGURATION,
                "ARGOS_MASTER_KEY_NEXT is not set: add the new key to /etc/argos/argos.env, "
                "restart argos, and run this again. playbooks/rotate_key.yml does all of this.",
            )
        outcome["to"] = application.vault.key_id
        if options.reencrypt or application.rotation.unfinished() is not None:
            application.rotation.begin(here.actor)
            _serving(settings)  # lets the running service look for the new data keys
            done = application.rotation.reencrypt(here.actor, _shown if not options.json else lambda _unused: None)
            outcome |= {"secrets": done.secrets, "key_version": done.key_version, "broken": list(done.broken)}
    if options.json:
        print_json(outcome)
    else:
        _say(outcome)
    return FAILED if outcome.get("broken") else OK


def sheet(options: argparse.Namespace) -> int:
    """Print the recovery sheet of the key that the data is under; for root alone, and recorded."""
    if os.geteuid() != 0:
        raise Stop(NO_PERMISSION, "only root can print the recovery sheet: run it with sudo.")
    from argos.cli.session import services
    from argos.recovery_sheet.sheet import WARNING, as_html, as_text

    with services() as here:
        application = here.application
        key = _key_in_use(application)
        with application.storage.write() as connection:
            application.audit.record(connection, here.actor, "key.sheet", f"key/{application.vault.key_id}")
        make = as_html if options.html else as_text
        print(f"argos: {WARNING}", file=sys.stderr)
        print(make(key, socket.gethostname(), application.clock.now()))
    return OK


def words(options: argparse.Namespace) -> int:
    """Read the 24 words of a recovery sheet from standard input, and print the line of the EnvironmentFile."""
    from argos.recovery_sheet.words import from_words
    from argos.vault import key_id

    key = from_words(sys.stdin.read(4096))
    line = f"ARGOS_MASTER_KEY={base64.b64encode(key).decode()}"
    print(json.dumps({"id": key_id(key), "line": line}) if options.json else line)
    return OK


def _key_in_use(application: Application) -> bytes:
    from argos.vault import key_id

    settings = application.settings
    for key in (settings.master_key, settings.master_key_next):
        if key is not None and key_id(key) == application.vault.key_id:
            return key
    raise Stop(CONFIGURATION, "the key that the data uses is not among those configured")


def _refuse_unprepared(settings: Settings) -> None:
    """The running service must hold the new key before the data is under it."""
    import http.client

    from argos.vault import key_id

    if settings.master_key_next is None:
        return
    try:
        serving = _asked(settings)
    except (FileNotFoundError, ConnectionRefusedError):
        return  # nobody listens: it does not run
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Stop(
            UNAVAILABLE,
            f"the running service does not say which keys it holds ({type(error).__name__}), and must hold "
            "ARGOS_MASTER_KEY_NEXT before the data is under it: systemctl restart argos, then run this again",
        ) from None
    if key_id(settings.master_key_next) not in (serving.get("given") or []):
        raise Stop(
            FAILED,
            "the running service does not have ARGOS_MASTER_KEY_NEXT yet: systemctl restart argos, then run this again",
        )


def _serving(settings: Settings) -> dict[str, Any] | None:
    """What the running service says of its keys; None when none answers."""
    import http.client

    try:
        return _asked(settings)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _asked(settings: Settings) -> dict[str, Any]:
    from argos.unix_http import get

    status, body = get(settings.admin_socket, "/v1/key")
    answer = json.loads(body)
    return answer if status == 200 and isinstance(answer, dict) else {}


def _shown(progress: Progress) -> None:
    print(f"{progress.done} of {progress.total} secrets", file=sys.stderr)


def _say(outcome: dict[str, Any]) -> None:
    if outcome["rewrapped"]:
        print(f"the data now uses the key with id {outcome['to']} (before: {outcome['from']})")
    elif "secrets" not in outcome:
        print(f"the data already uses the key with id {outcome['to']}")
    if "secrets" in outcome:
        print(f"{outcome['secrets']} secrets encrypted with data keys of version {outcome['key_version']}")
    for place in outcome.get("broken", []):
        print(f"cannot be decrypted, left unchanged: {place}", file=sys.stderr)
