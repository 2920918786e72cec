"""``scripts/bench``: measure, print a table, write ``build/bench.json``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import figures, report
from bench.machine import cores
from bench.progress import Progress, source_of

CHECKOUT = Path(__file__).resolve().parents[3]
OUTPUT = CHECKOUT / "build" / "bench.json"
CYCLES = 10


def main() -> int:
    """Run the asked-for figures; 1 when one could not be measured, the others are still written."""
    figures.load_all()
    options = _options()
    wanted = options.only or sorted(figures.FIGURES)
    source = source_of(CHECKOUT, f"{options.quick} {options.cycles}")
    progress = Progress(
        options.output.with_name(f"{options.output.stem}-run.json"), source, wanted, fresh=options.fresh
    )
    measured: figures.Figures = {}
    for number, name in enumerate(wanted, start=1):
        if progress.done(name):
            _say(f"== {number}/{len(wanted)} {name}: measured before this run was interrupted (--fresh measures again)")
            continue
        _say(f"== {number}/{len(wanted)} {name}: {(figures.FIGURES[name].__doc__ or name).splitlines()[0]}")
        begun = time.monotonic()
        found, problem = _measure(name, options)
        progress.note(name, time.monotonic() - begun, problem)
        if problem:
            _say(f"{name}: NOT MEASURED: {problem}")
        measured |= found
        report.write(options.output, found)  # at once: an interrupted run keeps what it has
    print(report.table(measured))
    for name, problem in progress.problems().items():
        print(f"\n  {name}: NOT MEASURED, what {options.output.name} says of it is older: {problem}")
    print(
        f"\nWritten to {options.output}."
        + (" These are of a quick run: only a proof that it works." if options.quick else "")
    )
    return int(bool(progress.problems()))


def _measure(name: str, options: argparse.Namespace) -> tuple[figures.Figures, str]:
    """Measure one; what was found, and why nothing was. Nothing that one figure raises ends the run."""
    with tempfile.TemporaryDirectory(prefix="argos-bench-") as directory:
        run = figures.Run(
            cycles=options.cycles or (1 if options.quick else CYCLES),
            seconds=1 if options.quick else 2,
            noisy=options.noisy or options.quick,
            cores=cores(),
            directory=Path(directory),
            guest=options.guest,
            say=_say,
            quick=options.quick,
        )
        try:
            return figures.FIGURES[name](run), ""
        except Exception as error:
            return {}, f"{type(error).__name__}: {error}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("guest", nargs="?", default="", help="whose make up is reported (default: the newest)")
    parser.add_argument("--quick", action="store_true", help="one cycle of 1 s slices: proves that the harness works")
    parser.add_argument("--noisy", action="store_true", help="take cycles although others use the machine")
    parser.add_argument("--cycles", type=int, help=f"kept cycles (default {CYCLES})")
    parser.add_argument("--fresh", action="store_true", help="do not go on with a run that was interrupted")
    parser.add_argument(
        "--only", action="append", choices=sorted(figures.FIGURES), help="measure this alone; repeatable"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/bench.json")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _say("\nInterrupted. What was measured is kept: the same command goes on with the rest.")
        sys.exit(130)
