"""LOG-2: how long a refused sign-in takes says nothing about the account.

Unknown users, accounts without a password (they sign in elsewhere) and wrong passwords
are tried in turn, over HTTP, with the throttle on: every try has an account and an
address of its own, as Caddy would report them.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from panel_runtime import PANEL_HOST, PASSWORD, Runtime

CLASSES = ("unknown", "elsewhere", "wrong-password")
TALLY = 200  # accounts a class
FEW = 30  # enough to see a hash that is missing

# The service with the dummy hash taken out: who has no password is refused at once.
WITHOUT_DUMMY = """
from argos.accounts.passwords import Passwords
verify = Passwords.verify_in_place
Passwords.verify_in_place = lambda self, password, stored: stored is not None and verify(self, password, stored)
from argos.cli.parser import run
raise SystemExit(run(["serve"]))
"""

addresses = count(1)


@pytest.fixture
def patched(tmp_path: Path) -> Iterator[Runtime]:
    made = Runtime(tmp_path, "behind_caddy")
    made.command = [sys.executable, "-c", WITHOUT_DUMMY]
    try:
        made.start()
        made.declare()
        yield made
    finally:
        made.stop()


def fill(runtime: Runtime, tally: int) -> None:
    """Make ``tally`` accounts with a password (all of one hash, to save 200 times bcrypt) and as many without."""
    if not runtime.rows("SELECT 1 FROM users WHERE username = 'model'"):
        runtime.person("model")
    copied = (
        "role, provider, password_hash, password_key_version, must_change_password, disabled, created_at, updated_at"
    )
    for number in range(tally):
        runtime.write(
            f"INSERT OR IGNORE INTO users (username, {copied}) SELECT ?, {copied} FROM users WHERE username = 'model'",
            f"wrong-password-{number}",
        )
        runtime.write(
            "INSERT OR IGNORE INTO users (username, role, provider, created_at, updated_at) "
            "VALUES (?, 'member', 'oidc', 0, 0)",
            f"elsewhere-{number}",
        )


def measure(runtime: Runtime, tally: int) -> dict[str, list[float]]:
    """Seconds of each refused sign-in by class, interleaved in random order."""
    tries = [(kind, f"{kind}-{number}") for kind in CLASSES for number in range(tally)]
    random.Random(7).shuffle(tries)
    found: dict[str, list[float]] = {kind: [] for kind in CLASSES}
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(runtime.panel_socket)), timeout=60) as client:
        for kind, username in tries:
            number = next(addresses)
            headers = {
                "Host": PANEL_HOST,
                "Origin": f"https://{PANEL_HOST}",
                "Argos-Client-Ip": f"198.18.{number // 256}.{number % 256}",
            }
            form = {"username": username, "password": f"not {PASSWORD}"}
            started = time.perf_counter()
            answer = client.post("http://localhost/login", data=form, headers=headers)
            took = time.perf_counter() - started
            assert answer.status_code == 401, answer.status_code
            found[kind].append(took)
    return found


def area_under_curve(first: list[float], second: list[float]) -> float:
    """How often a time of ``second`` is longer than one of ``first``: 0.5 tells nothing apart."""
    ordered = sorted(first)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in second) / 2
    return wins / (len(first) * len(second))


def told_apart(times: dict[str, list[float]]) -> list[str]:
    """The pairs of classes that their times tell apart."""
    found = []
    for first, second in ((CLASSES[0], CLASSES[1]), (CLASSES[0], CLASSES[2]), (CLASSES[1], CLASSES[2])):
        area = area_under_curve(times[first], times[second])
        gap = abs(statistics.median(times[first]) - statistics.median(times[second]))
        if not 0.4 <= area <= 0.6 and gap > 0.010:
            found.append(f"{first} from {second}: AUC {area:.2f}, medians {gap * 1000:.0f} ms apart")
    return found


@pytest.mark.threat("LOG-2")
@pytest.mark.timeout(2400)
def test_the_time_of_a_refusal_tells_nothing_about_the_account(behind_caddy: Runtime) -> None:
    fill(behind_caddy, TALLY)
    first = told_apart(measure(behind_caddy, TALLY))
    if first:  # one repeat: a busy machine can slow one class by chance, with other accounts' throttle cleared
        behind_caddy.write("DELETE FROM login_failures")
        assert told_apart(measure(behind_caddy, TALLY)) == [], f"and before: {first}"


@pytest.mark.threat("LOG-2")
def test_this_test_would_see_a_missing_dummy_hash(patched: Runtime) -> None:
    fill(patched, FEW)
    found = told_apart(measure(patched, FEW))
    assert any("unknown from wrong-password" in pair for pair in found)
    assert any("elsewhere from wrong-password" in pair for pair in found)
