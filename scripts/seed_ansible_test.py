"""Let ``ansible-test sanity --venv`` work where only package indexes are reachable.

It wants get-pip.py from a host of its own. A script of the same name in its cache,
which installs pip with the interpreter's own ensurepip, does the same job.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("get_pip_24_2.py", "get_pip_25_2.py")  # of ansible-core 2.19 to 2.21

STAND_IN = '''\
"""Install pip by ensurepip, then whatever else get-pip was asked for."""
import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip takes PIP_* out of os.environ
import ensurepip

ensurepip.bootstrap(upgrade=True)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
if wanted:
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted], env=environment))
'''


def main() -> None:
    """Write the stand-in under each name that is not there yet."""
    cache = Path.home() / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if not (cache / name).exists():
            (cache / name).write_text(STAND_IN, encoding="utf-8")


if __name__ == "__main__":
    main()
