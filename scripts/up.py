"""From nothing to a working edge: prepare this machine, run playbooks/site.yml, say how long each part took.

    python3 scripts/up.py [--guest NAME] [--inventory PATH] [--playbook FILE] [--] [ansible-playbook's own arguments …]

Writes .argos/<guest>/timings.json: for "cold" (the guest was made) and "warm" runs the seconds by part, the total, and
how many changes Ansible reported. The first credentials are printed to a terminal only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from guest_provider import guest_provider

TOP = Path(__file__).resolve().parent.parent
STATE = TOP / ".argos"
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?:argos\.edge\.)?(?P<role>[a-z_]+) : ")
STAGE = re.compile(r"^(?:TASK|RUNNING HANDLER|PLAY) \[")
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(?P<changed>\d+)\s+unreachable=(?P<gone>\d+)\s+failed=(?P<failed>\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def default_guest() -> str:
    """Return the checkout's own guest: the name that role guest derives."""
    return "argos-" + hashlib.sha256(str(STATE).encode()).hexdigest()[:6]


class Stopwatch:
    """Seconds by part, from the lines that ansible-playbook prints."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.changed = 0
        self._part, self._since = "start", time.monotonic()

    def switch(self, part: str) -> None:
        """Charge the time since the last switch to the part that ends."""
        now = time.monotonic()
        self.parts[self._part] = self.parts.get(self._part, 0.0) + now - self._since
        self._part, self._since = part, now

    def read(self, line: str) -> None:
        """Take in one line of output."""
        plain = COLOUR.sub("", line)
        if task := TASK.match(plain):
            self.switch(task["role"])
        elif plain.startswith("TASK [") and "Gathering Facts" in plain:
            self.switch("facts")
        elif STAGE.match(plain):
            self.switch("declaration" if "Declare" in plain else "playbook")
        elif recap := RECAP.match(plain):
            self.changed += int(recap["changed"])


def environment(guest: str) -> dict[str, str]:
    """Return the environment of ansible-playbook."""
    told = dict(os.environ)
    told.update(
        ANSIBLE_CONFIG=str(TOP / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(TOP / ".build"),
        ANSIBLE_DISPLAY_SKIPPED_HOSTS="false",
        ANSIBLE_CHECK_MODE_MARKERS="true",
        ANSIBLE_DEPRECATION_WARNINGS="false",
        ARGOS_GUEST=guest,
        PATH=f"{TOP / '.venv' / 'bin'}:{told.get('PATH', '/usr/bin:/bin')}",
    )
    if sys.stdout.isatty():
        told["ANSIBLE_FORCE_COLOR"] = "true"
    return told


def play(options: argparse.Namespace, watch: Stopwatch) -> int:
    """Run the playbook, pass its output on, and return its status."""
    extra = {"argos_guest_state_root": str(STATE), "argos_guest_name": options.guest, "argos_site_welcome": False}
    if os.environ.get("SUBNET"):
        extra["argos_guest_subnet"] = os.environ["SUBNET"]
    command = [str(TOP / ".venv/bin/ansible-playbook"), "-i", str(options.inventory), str(TOP / options.playbook)]
    command += ["-e", json.dumps(extra), *options.arguments]
    with subprocess.Popen(
        command, cwd=TOP, env=environment(options.guest), stdout=subprocess.PIPE, stdin=None, text=True, bufsize=1
    ) as running:
        assert running.stdout is not None  # noqa: S101 - for the type checker
        for line in running.stdout:
            watch.read(line)
            if line.strip():
                print(line, end="", flush=True)
    watch.switch("end")
    return running.returncode


def is_whole(arguments: list[str]) -> bool:
    """Say whether ansible-playbook runs all of the site: the time of a part is no figure of the whole."""
    partial = ("-C", "--check", "-t", "--tags", "--skip-tags", "-l", "--limit", "--start-at-task")
    return not any(argument.partition("=")[0] in partial for argument in arguments)


def report(guest: str, kind: str, watch: Stopwatch, total: float) -> None:
    """Print and keep how long it took."""
    parts = {name: round(seconds, 1) for name, seconds in watch.parts.items() if seconds >= 0.1 and name != "end"}
    kept = STATE / guest / "timings.json"
    timings = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    timings[kind] = {"total_s": round(total, 1), "changed": watch.changed, "parts": parts}
    if kept.parent.is_dir():
        kept.write_text(json.dumps(timings, indent=2) + "\n", encoding="utf-8")
    print(f"\nTook {total:.0f} s ({kind}): " + ", ".join(f"{name} {seconds:g} s" for name, seconds in parts.items()))
    print(f"changed={watch.changed}")


def welcome(guest: str) -> None:
    """Print what to do next; credentials go to a terminal only."""
    text = STATE / guest / "welcome.txt"
    if text.exists():
        print("\n" + text.read_text(encoding="utf-8").rstrip())
    password = STATE / guest / "admin-password"
    if password.exists():
        if sys.stdout.isatty():
            first = password.read_text(encoding="utf-8").strip()
            print(f"\n  First sign-in: admin / {first}   (then choose a new password)")
        else:
            print(f"\n  First sign-in: admin, with the password in {password}")


def main() -> int:
    """Do it all, and return ansible-playbook's status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--guest", default="")
    parser.add_argument("--inventory", type=Path, default=Path("inventory/example"))
    parser.add_argument("--playbook", default="playbooks/site.yml")
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    options.guest = options.guest or default_guest()
    existing = guest_provider(options.inventory, options.arguments) == "existing"
    began = time.monotonic()
    checks = [sys.executable, str(TOP / "scripts/preflight.py"), "up", options.guest] + (
        ["--existing"] if existing else []
    )
    for step in (checks, [str(TOP / "scripts/prepare"), "controller"], [str(TOP / "scripts/build-wheel")]):
        status = subprocess.call(step)
        if status:
            return status
    watch = Stopwatch()
    watch.parts["prepare"] = time.monotonic() - began
    cold = not (STATE / options.guest / "known_hosts").exists()
    status = play(options, watch)
    if status == 0 and "--check" not in options.arguments:
        if is_whole(options.arguments):
            report(options.guest, "cold" if cold else "warm", watch, time.monotonic() - began)
        welcome(options.guest)
    return status


if __name__ == "__main__":
    sys.exit(main())
