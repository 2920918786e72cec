"""``scripts/bench``: measure, print a table, write ``build/bench.json``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import figures, report
from bench.load import LoadFailed
from bench.machine import NotQuiet, cores
from bench.preflight import PreflightFailed
from bench.processes import DidNotStart

OUTPUT = Path(__file__).resolve().parents[3] / "build" / "bench.json"


def main() -> int:
    """Run the asked-for figures; 1 when one could not be measured, the others are still written."""
    figures.load_all()
    options = _options()
    measured: figures.Figures = {}
    failed = False
    for name in options.only or sorted(figures.FIGURES):
        _say(f"== {name}: {(figures.FIGURES[name].__doc__ or '').splitlines()[0]}")
        with tempfile.TemporaryDirectory(prefix="argos-bench-") as directory:
            run = figures.Run(
                cycles=options.cycles or (1 if options.quick else 9),
                seconds=1 if options.quick else 2,
                noisy=options.noisy or options.quick,
                cores=cores(),
                directory=Path(directory),
                guest=options.guest,
                say=_say,
            )
            try:
                measured |= figures.FIGURES[name](run)
            except (NotQuiet, LoadFailed, PreflightFailed, DidNotStart, FileNotFoundError, AssertionError) as error:
                _say(f"{name}: NOT MEASURED: {error}")
                failed = True
    report.write(options.output, measured)
    print(report.table(measured))
    print(
        f"\nWritten to {options.output}."
        + (" These are of a quick run: only a proof that it works." if options.quick else "")
    )
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("guest", nargs="?", default="", help="whose make up is reported (default: the newest)")
    parser.add_argument("--quick", action="store_true", help="one cycle of 1 s slices: proves that the harness works")
    parser.add_argument("--noisy", action="store_true", help="take cycles although others use the machine")
    parser.add_argument("--cycles", type=int, help="kept cycles (default 9)")
    parser.add_argument(
        "--only", action="append", choices=sorted(figures.FIGURES), help="measure this alone; repeatable"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/bench.json")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
