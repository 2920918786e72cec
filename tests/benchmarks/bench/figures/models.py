"""Whether Caddy takes whatever can be declared: many generated declarations through ``argos-caddy validate``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.figures import Figures, Run, figure

DOCUMENTS = 300
TEST = Path(__file__).parents[3] / "integration" / "edge" / "test_generated_hosts.py"


@figure
def models(run: Run) -> Figures:
    """``edge.generated_documents_taken``: generated declarations that Caddy takes; one that it refuses is a failure."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "1800", str(TEST)],
        env={**os.environ, "ARGOS_GENERATED_DOCUMENTS": str(DOCUMENTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"Caddy refused one, or it did not render: {done.stdout[-3000:]}")
    run.say(done.stdout.strip().splitlines()[-1])
    return {"edge.generated_documents_taken": DOCUMENTS}
