"""`argos crowdsec …`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import FAILED, NO_PERMISSION, OK, UNAVAILABLE, Stop

SCRIPT = Path("/usr/lib/argos/crowdsec-credentials")  # role crowdsec installs it
SECRETS_DIR = Path("/etc/argos")
_NAMES = ("crowdsec-bouncer-key", "crowdsec-machine")
_ELSEWHERE = (
    "role crowdsec installs it where CrowdSec runs. For a LAPI elsewhere, create a bouncer and a machine there, and "
    "store them: argos secret set crowdsec-bouncer-key --stdin, argos secret set crowdsec-machine --stdin "
    '({"login": "…", "password": "…"})'
)


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(commands, "crowdsec", "the connection to CrowdSec", "sudo argos crowdsec credentials")
    renew = add_command(
        group,
        "credentials",
        "replace credentials that CrowdSec refuses",
        "sudo argos crowdsec credentials",
        credentials,
    )
    add_json(renew)


def credentials(options: argparse.Namespace) -> int:
    """Make anew what CrowdSec refuses, and put both into the vault: what role crowdsec does, in one command.

    Nothing is printed or passed as an argument: values go from file to standard input.
    """
    from argos.cli.session import print_json

    if os.geteuid() != 0:
        raise Stop(NO_PERMISSION, "only root can replace CrowdSec's credentials: sudo argos crowdsec credentials")
    if not SCRIPT.exists():
        raise Stop(UNAVAILABLE, f"{SCRIPT} does not exist: {_ELSEWHERE}")
    made = _answer([str(SCRIPT)])["changed"]
    stored = [name for name in _NAMES if _stored(name)]
    if "crowdsec-bouncer-key" in stored:
        # Caddy reads its key from tmpfs at each poll.
        _run(["/usr/bin/systemctl", "restart", "argos-credentials.service"], None)
    if options.json:
        print_json({"changed": bool(made or stored), "made": made, "stored": stored})
    else:
        print(f"replaced: {', '.join(made) or 'nothing'}; stored: {', '.join(stored) or 'nothing new'}")
    return OK


def _stored(name: str) -> bool:
    try:
        value = (SECRETS_DIR / name).read_bytes()
    except OSError as error:
        raise Stop(FAILED, f"{SECRETS_DIR / name} cannot be read: {error.strerror}") from None
    # A process of its own, as it becomes the user argos for good; -I, or a package in this directory would run as root.
    return bool(
        _answer([sys.executable, "-I", "-m", "argos", "secret", "set", name, "--stdin", "--json"], value)["changed"]
    )


def _answer(command: list[str], given: bytes | None = None) -> dict[str, list[str]]:
    answer: dict[str, list[str]] = json.loads(_run(command, given))
    return answer


def _run(command: list[str], given: bytes | None) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Stop(FAILED, done.stderr.decode("utf-8", "replace").strip()[-500:] or f"{command[0]} failed")
    return done.stdout
