"""The quick checks: format, lint, types, playbooks, unit tests, Go. Two lanes, for two cores."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from stages import BY_FILE, GO_MODULE, Stage, budget, compiled, conclude, go, prepared, together

WHOLE = budget("CHECK")

# As build.py compiles, so that vet finds every package compiled already.
AS_BUILT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def lanes() -> list[list[Stage]]:
    """Return what to run: Python and the playbooks beside the tests and Go."""
    golang = go()
    environment = {"PATH": f"{Path(golang).parent}:{os.environ.get('PATH', '')}", **AS_BUILT}
    gofmt = f'cd {GO_MODULE} && test -z "$(gofmt -l . | tee /dev/stderr)" && go vet ./...'
    # A home of its own: ansible-lint would else find the collection as some earlier run installed it.
    playbooks = 'yamllint -s . && HOME="$PWD/.build/home" ansible-lint --offline -q'
    return [
        [
            Stage("format", ["ruff", "format", "--check", "."], WHOLE),
            Stage("lint", ["ruff", "check", "."], WHOLE),
            Stage("types", ["mypy"], WHOLE),
            Stage("playbooks", ["sh", "-ec", playbooks], WHOLE),
        ],
        [
            Stage("unit", ["pytest", "-q", *BY_FILE, "-p", "no:cacheprovider", "-m", "not long"], WHOLE),
            Stage("go", ["sh", "-ec", gofmt], WHOLE, environment),
        ],
    ]


def main() -> int:
    """Run them, on a bare machine after Caddy has been compiled once."""
    if "--prepared" not in sys.argv:
        prepared("check", "-")
    first = compiled()
    plan = lanes()
    if together([[first]]):
        together(plan, go_on=True)
    return conclude([first, *(stage for lane in plan for stage in lane)])


if __name__ == "__main__":
    sys.exit(main())
