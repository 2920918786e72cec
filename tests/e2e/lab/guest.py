"""The guest under test: where it is, and a shell in it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.polling import until

CHECKOUT = Path(__file__).resolve().parents[3]
PATIENCE = 300  # seconds: a machine may be many times slower than usual, and who waits for an end loses nothing


class CommandError(AssertionError):
    """A command in the guest ended with another status than 0."""


@dataclass(frozen=True)
class Guest:
    """One guest, as ``.argos/<name>/guest.json`` describes it."""

    name: str
    address: str
    bridge: str
    gateway: str
    state: Path

    @classmethod
    def of_checkout(cls) -> Guest:
        """Find the guest that ARGOS_GUEST names, else the checkout's own, which ``make up`` made."""
        own = "argos-" + hashlib.sha256(str(CHECKOUT / ".argos").encode()).hexdigest()[:6]
        state = CHECKOUT / ".argos" / (os.environ.get("ARGOS_GUEST") or own)
        described = state / "guest.json"
        if not (state / "ca.crt").exists():
            raise RuntimeError(
                f"There is no edge to test, as {state} is not whole: run 'make up' first, or set ARGOS_GUEST."
            )
        facts = json.loads(described.read_text())
        return cls(facts["name"], facts["address"], _link_to(facts["address"]), facts["gateway"], state)

    @property
    def ca(self) -> Path:
        """Return the root certificate of Caddy's CA, as the operator was given it."""
        return self.state / "ca.crt"

    def ssh(self, *command: str) -> list[str]:
        """Return the controller's command line for ``command`` in the guest, as root."""
        config = str(self.state / "ssh_config")
        shared = [
            "-o",
            "ControlMaster=auto",
            "-o",
            f"ControlPath=/run/argos-e2e-{self.name}",
            "-o",
            "ControlPersist=60",
        ]
        patience = ["-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6"]
        return ["ssh", "-F", config, *shared, *patience, self.name, shlex.join(command)]

    def run(self, *command: str, stdin: str | bytes = b"", check: bool = True, timeout: float = PATIENCE) -> str:
        """Run a command as root and return what it printed; raise :class:`CommandError` on another status than 0."""
        status, printed, complaint = self.attempt(*command, stdin=stdin, timeout=timeout)
        if check and status != 0:
            raise CommandError(f"{shlex.join(command)[:400]}: status {status}: {complaint[-2000:]}{printed[-500:]}")
        return printed

    def attempt(self, *command: str, stdin: str | bytes = b"", timeout: float = PATIENCE) -> tuple[int, str, str]:
        """Run a command as root and return its status, output and error output."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(self.ssh(*command), input=data, capture_output=True, check=False, timeout=timeout)
        if done.returncode == 255:
            raise ConnectionError(f"ssh to {self.name}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def shell(self, script: str, **options: object) -> str:
        """Run a script of sh as root and return what it printed."""
        return self.run("sh", "-euc", script, **options)  # type: ignore[arg-type]

    def python(self, script: str, *arguments: str, user: str = "root", stdin: str | bytes = b"") -> str:
        """Run a script with the guest's own Python as ``user``."""
        return self.run(*as_user(user, "python3", "-c", script, *arguments), stdin=stdin)

    def systemctl(self, verb: str, *units: str) -> None:
        """Run systemctl on units; raise when it fails."""
        self.run("systemctl", verb, *units)

    def is_active(self, unit: str) -> bool:
        """Tell whether a unit runs."""
        return self.attempt("systemctl", "is-active", "--quiet", unit)[0] == 0

    def boot_id(self) -> str:
        """Return what changes with each boot: the kernel's own mark, and the moment at which process 1 began.

        Over a connection of its own: a shared one that a dying guest leaves hanging outlives its command.
        """
        # Of an option that is given twice, ssh takes the first.
        own = ["ssh", "-F", str(self.state / "ssh_config"), "-o", "ControlPath=none", "-o", "ConnectTimeout=5"]
        # Not the times of /proc/1: the kernel gives it new ones whenever it has forgotten it and makes it anew.
        command = [*own, self.name, "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        if done.returncode:
            raise ConnectionError(f"ssh to {self.name}: {done.stderr[-500:]}")
        return done.stdout

    def drop_shell(self) -> None:
        """Close the shared connection: a guest that goes down leaves it hanging."""
        subprocess.run([*self.ssh()[:-2], "-O", "exit", self.name], capture_output=True, check=False, timeout=20)

    def begin_reboot(self) -> str:
        """Tell the guest to boot again, and return the old boot's id at once."""
        before = until(f"{self.name} tells its boot", self.boot_id, within=60)
        self.drop_shell()
        with suppress(ConnectionError):  # it may go down before the command's end has come back: the next boot tells
            self.run("systemd-run", "--on-active=1", "--timer-property=AccuracySec=100ms", "systemctl", "reboot")
        self.drop_shell()
        return before

    def wait_for_boot(self, before: str, *, within: float = 240) -> None:
        """Wait until the guest has booted again, and its shell answers."""

        def booted() -> bool:
            # A container comes back with another link address; the controller would ask the old one for 25 s.
            forget = ["ip", "neigh", "flush", "dev", self.bridge, "to", self.address]
            subprocess.run(forget, capture_output=True, check=False)
            try:
                return self.boot_id() != before
            except subprocess.TimeoutExpired:
                return False

        until(f"{self.name} boots again", booted, within=within, every=0.5)

    def wait_for_units(self, *units: str, within: float = 180) -> None:
        """Wait until all units run."""
        until(f"{units} are active", lambda: all(self.is_active(unit) for unit in units), within=within)


def _link_to(address: str) -> str:
    """Return the controller's interface, a bridge, on which the guest's address lies."""
    routes = json.loads(subprocess.check_output(["ip", "-json", "route", "get", address]))
    return str(routes[0]["dev"])


def as_user(user: str, *command: str) -> tuple[str, ...]:
    """Return a command that drops root for ``user`` with that user's groups, and nothing of root's environment."""
    if user == "root":
        return command
    return ("setpriv", f"--reuid={user}", f"--regid={user_group(user)}", "--init-groups", "--reset-env", *command)


def user_group(user: str) -> str:
    """Return the user's primary group: our users have one of their own name."""
    return "nogroup" if user == "nobody" else user
