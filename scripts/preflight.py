"""Name everything that would stop `make up` or `make test`, before anything is changed.

    python3 scripts/preflight.py up|test|check GUEST [--existing]

Prints one line for each problem and exits 1 when there is one. Written for Python 3.6, so that an old one can say so.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from urllib.parse import urlsplit

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATE = os.path.join(os.path.realpath(TOP), ".argos")
NEED_GB = {"up": 6, "test": 10, "check": 2}  # image, guest, Go's caches; for tests a second guest and a browser too
TIMEOUT = 20  # seconds


def python_problem():
    """Return what is wrong with the Python that the venv would be made of."""
    if sys.version_info < (3, 11):
        return "Python {}.{} is too old: Argos needs 3.11 or newer as python3 on PATH (Debian 12 has it).".format(
            *sys.version_info[:2]
        )
    return None


def root_problem():
    """Return why nothing could be done as root."""
    if os.geteuid() == 0:
        return None
    if shutil.which("sudo") is None:
        return "You are not root, and sudo is not installed. Run as root, or install sudo and join its group."
    asks = ["sudo", "-n", "true"] if not sys.stdin.isatty() else ["sudo", "-v"]
    if subprocess.call(asks, stdin=None, stderr=subprocess.DEVNULL) != 0:
        return "sudo needs your password: run `sudo -v` first, or run as root."
    return None


def system_problem():
    """Return why this machine cannot hold an LXC guest."""
    if not sys.platform.startswith("linux") or shutil.which("apt-get") is None:
        return (
            "An LXC guest needs a Debian or Ubuntu machine. Elsewhere, set argos_guest_provider: existing in your "
            "inventory, and name a machine of your own."
        )
    return None


def disk_problem(goal):
    """Return the lack of disk space, in GB, where the checkout, the caches and the guest lie."""
    for path in (TOP, os.path.expanduser("~"), "/var/lib"):
        free = shutil.disk_usage(path).free / 1e9
        if free < NEED_GB[goal]:
            return "Not enough disk space at {}: {:.1f} GB free, {} GB needed.".format(path, free, NEED_GB[goal])
    return None


def package_source():
    """Return host and port of where this machine's Debian packages come from: its proxy, or its first mirror."""
    environment = dict(os.environ, LC_ALL="C")
    settings = subprocess.check_output(["apt-config", "dump", "Acquire::http::Proxy"], env=environment).decode()
    proxy = settings.partition('"')[2].partition('"')[0]
    sources = subprocess.check_output(["apt-get", "indextargets", "--format", "$(REPO_URI)"], env=environment).decode()
    for uri in [proxy] + sorted(line for line in sources.splitlines() if line.startswith("http")):
        parts = urlsplit(uri)
        if parts.hostname:
            return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    return None


def network_problem():
    """Return why packages could not be fetched."""
    try:
        source = package_source()
    except (OSError, subprocess.CalledProcessError):
        return "apt-get does not work on this machine. Is it Debian or Ubuntu?"
    if source is None:
        return "apt has no package source: add one to /etc/apt/sources.list.d."
    try:
        socket.create_connection(source, TIMEOUT).close()
    except OSError as problem:
        return "No network: cannot reach {}:{}, where apt gets its packages ({}).".format(*source + (problem,))
    return None


def guest_problem(guest):
    """Return the clash of the guest's network or ports with what this machine has."""
    remembered = {}
    try:
        with open(os.path.join(STATE, guest, "guest.json"), encoding="utf-8") as file:
            remembered = json.load(file)
    except (OSError, ValueError):
        pass  # a first run, or an interrupted one
    plan = os.path.join(TOP, "roles", "guest", "files", "network_plan.py")
    command = [sys.executable, plan, guest]
    command += ["--subnet=" + os.environ.get("SUBNET", ""), "--remembered=" + remembered.get("subnet", "")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.stderr.decode().strip() if done.returncode else None


def main():
    """Print the problems."""
    goal, guest = sys.argv[1], sys.argv[2]
    problems = [python_problem(), disk_problem(goal)]
    if "--existing" not in sys.argv and goal != "check":
        problems += [system_problem(), root_problem()]
        if not problems[-1] and not problems[-2]:
            made = os.path.isdir(os.path.join("/var/lib/argos-guests", guest))
            problems.append(None if made and goal == "up" else network_problem())
        if not problems[0]:
            problems.append(guest_problem(guest))
    found = [problem for problem in problems if problem]
    for problem in found:
        print("preflight: " + problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
