"""Figures that a test of the suite counts: declarations that Caddy takes, tests of the rule set that pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bench.figures import Figures, Run, figure

DOCUMENTS = 300
EDGE = Path(__file__).parents[3] / "integration" / "edge"


@figure
def models(run: Run) -> Figures:
    """``edge.generated_documents_taken``: generated declarations that Caddy takes; one that it refuses is a failure."""
    documents = 12 if run.quick else DOCUMENTS
    told = _passed("test_generated_hosts.py", ARGOS_GENERATED_DOCUMENTS=str(documents))
    run.say(told.splitlines()[-1])
    return {"edge.generated_documents_taken": documents}


@figure
def crs(run: Run) -> Figures:
    """``crs.pass_percent``: request tests of the Core Rule Set's own suite that pass through the edge at level 4."""
    told = _passed("test_crs_suite.py", ARGOS_CRS_ONLY="942" if run.quick else "")
    found = re.search(r"crs\.pass_percent (\d+\.\d+) of (\d+)", told)
    if found is None:
        raise AssertionError("the suite of the rule set told no percentage")
    run.say(found[0])
    return {"crs.pass_percent": float(found[1]), "crs.tests": int(found[2])}


def _passed(test: str, **environ: str) -> str:
    """Run one test of the edge to its end; return what it printed.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--timeout", "1800", str(EDGE / test)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{test} failed: {done.stdout[-3000:]}")
    return done.stdout.strip()
