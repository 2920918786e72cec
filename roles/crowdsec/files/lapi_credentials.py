"""Keep a bouncer key and a machine's credentials that CrowdSec's local API knows. Runs on the guest, as root.

Each is tried against the local API; one that is missing or refused is made anew with cscli. The values go from
cscli's standard output into files of mode 0600 and nowhere else: never an argument, never this script's output.

Prints one JSON object: {"changed": ["bouncer", "machine"]}. With --check nothing is made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

CSCLI = "/usr/bin/cscli"
REFUSED = (401, 403)
TIMEOUT = 10  # seconds for one answer of the local API


class LapiError(Exception):
    """The local API or cscli did not do what was asked; the text holds no secret."""


def accepted(request: urllib.request.Request) -> bool:
    """Return whether the local API takes the credentials in the request; LapiError when it does not answer."""
    # No proxy of the environment may see a credential.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError as error:
        if error.code in REFUSED:
            return False
        raise LapiError(f"the local API answered {error.code} to {request.full_url}") from error
    except OSError as error:
        raise LapiError(f"no answer from the local API at {request.full_url}: {error}") from error


def cscli(*arguments: str, check: bool = True) -> str:
    """Run cscli and return its standard output; LapiError with its standard error only."""
    done = subprocess.run([CSCLI, "--error", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise LapiError(f"cscli {arguments[0]} {arguments[1]}: {done.stderr.strip()}")
    return done.stdout


def keep(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that a reader sees the old text or the new, never a part."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read(path: Path) -> str:
    """Return the file's text, or "" when there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def bouncer_works(port: int, key: str) -> bool:
    """Try the key on the smallest question a bouncer may ask."""
    if not key:
        return False
    return accepted(
        urllib.request.Request(f"http://127.0.0.1:{port}/v1/decisions?ip=192.0.2.1", headers={"X-Api-Key": key})
    )


def make_bouncer(name: str, path: Path) -> None:
    """Make the bouncer anew: the local API keeps only a hash, so a lost key cannot be read back."""
    cscli("bouncers", "delete", name, check=False)
    key = cscli("bouncers", "add", name, "-o", "raw").strip()
    if not key:
        raise LapiError("cscli bouncers add printed no key")
    keep(path, key)


def machine_works(port: int, text: str) -> bool:
    """Try to log in as the runtime will."""
    try:
        known = json.loads(text)
        body = json.dumps({"machine_id": known["login"], "password": known["password"]}).encode()
    except (ValueError, KeyError, TypeError):
        return False
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/watchers/login", data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    return accepted(request)


def make_machine(name: str, path: Path) -> None:
    """Make the machine with a password of cscli's own choosing, printed (``-f -``) instead of given."""
    printed = cscli("machines", "add", name, "--auto", "--force", "-f", "-")
    fields = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    if not fields.get("login") or not fields.get("password"):
        raise LapiError("cscli machines add printed no credentials")
    keep(path, json.dumps({"login": fields["login"], "password": fields["password"]}))


def main() -> int:
    """Make what the local API does not know; exit code 1 with one line when that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bouncer", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    key_file = arguments.directory / "crowdsec-bouncer-key"
    machine_file = arguments.directory / "crowdsec-machine"
    changed = []
    try:
        if not bouncer_works(arguments.port, read(key_file)):
            changed.append("bouncer")
            if not arguments.check:
                make_bouncer(arguments.bouncer, key_file)
        if not machine_works(arguments.port, read(machine_file)):
            changed.append("machine")
            if not arguments.check:
                make_machine(arguments.machine, machine_file)
    except LapiError as error:
        print(f"crowdsec credentials: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"changed": changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
