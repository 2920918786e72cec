"""``argos`` and ``python -m argos``."""

from __future__ import annotations

import sys

from argos.cli.parser import run


def main() -> int:
    """Run the command line; the return value is the exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
