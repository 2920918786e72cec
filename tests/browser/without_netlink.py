"""Runs a command that can open no netlink socket: ``without_netlink.py COMMAND [ARGUMENT ...]``."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import call_filter

if __name__ == "__main__":
    binary = shutil.which(sys.argv[1])
    if binary is None:
        sys.exit(f"{sys.argv[1]} is not installed: apt-get install {sys.argv[1]}")
    netlink = call_filter.Condition(0, call_filter.EQUAL, socket.AF_NETLINK, 0)
    call_filter.load(call_filter.ERRNO | errno.EAFNOSUPPORT, [(call_filter.number_of("socket"), netlink)])
    os.execv(binary, sys.argv[1:])
