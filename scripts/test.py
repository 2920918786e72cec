"""Everything that proves the project, on a guest of its own, which is removed at the end, whatever happened.

Two lanes where two cores allow: what needs the guest waits for it, and what measures or attacks it runs alone.
Logs stay in build/logs.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from stages import BY_FILE, GO_MODULE, TOP, Stage, budget, compiled, conclude, go, prepared, say, together

CHECKOUT = hashlib.sha256(str(TOP).encode()).hexdigest()[:6]  # two checkouts' guests do not meet
GUEST = f"argos-t{CHECKOUT}"
MOLECULE = {"ARGOS_MOLECULE_GUEST": f"argos-m{CHECKOUT}"}


def down() -> Stage:
    """Return the stage that removes the guest."""
    return Stage("down", [str(TOP / "scripts/down"), GUEST], 120)


def main() -> int:
    """Run it all; ctrl-C or a failure leaves no guest behind."""
    prepared("test", GUEST)
    golang = {"PATH": f"{Path(go()).parent}:{TOP / '.venv/bin'}:{os.environ.get('PATH', '')}", "GOTOOLCHAIN": "local"}
    guest = {"ARGOS_GUEST": GUEST}
    e2e = ["pytest", "-q", "-c", "tests/e2e/pytest.ini", "tests/e2e"]
    half = 2 * budget("CHECK")  # seconds, as `up` has the other half of the machine
    quick = [sys.executable, str(TOP / "scripts/check.py"), "--prepared"]
    check = Stage("check", quick, half, {"BUDGET_CHECK": str(half)})
    race = Stage("go-race", ["sh", "-ec", f"cd {GO_MODULE} && go test -race -timeout 30m ./..."], budget("GO"), golang)
    sanity = Stage("sanity", [str(TOP / "scripts/sanity")], budget("SANITY"))
    up = Stage("up", [sys.executable, str(TOP / "scripts/up.py"), "--guest", GUEST], budget("UP"))
    again = Stage(
        "up-again",
        ["sh", "-ec", f"python3 scripts/up.py --guest {GUEST} | tee /dev/stderr | grep -x changed=0 >/dev/null"],
        240,
    )
    integration = Stage("integration", ["pytest", "-q", *BY_FILE, "tests/integration"], budget("INTEGRATION"), guest)
    endurance = Stage("endurance", ["pytest", "-q", "-n", "2", "tests/endurance"], budget("ENDURANCE"))
    long = Stage("long", ["pytest", "-q", "-n", "2", "-m", "long"], budget("LONG"))
    end_to_end = Stage("e2e", e2e, budget("E2E"), guest)
    molecule = Stage("molecule", ["molecule", "test"], budget("MOLECULE"), MOLECULE)
    last = down()
    rounds = [
        [[compiled(), check], [up, again]],
        [[sanity, race, molecule, long, endurance], [end_to_end]],
        [[integration]],
    ]
    if subprocess.call([str(TOP / "scripts/down"), GUEST], cwd=TOP, stdout=subprocess.DEVNULL):
        say(f"what an interrupted run left of {GUEST} could not be removed: see `scripts/down {GUEST}`")
        return 1
    try:
        for lanes in rounds:
            together(lanes, go_on=True)
    finally:
        together([[last]])
    return conclude([stage for lanes in rounds for lane in lanes for stage in lane] + [last])


if __name__ == "__main__":
    sys.exit(main())
