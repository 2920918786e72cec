"""Runs a command that can open no netlink socket: ``without_netlink.py COMMAND [ARGUMENT ...]``."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import sys

ALLOW, ERRNO, EQUAL = 0x7FFF0000, 0x00050000, 4  # <seccomp.h>


class Condition(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def refuse_netlink() -> None:
    """Let this process, and whatever it becomes and starts, open no netlink socket."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Condition),
    ]  # fmt: skip
    context = library.seccomp_init(ALLOW)
    netlink = (Condition * 1)(Condition(0, EQUAL, socket.AF_NETLINK, 0))
    call = library.seccomp_syscall_resolve_name(b"socket")
    for result in (
        library.seccomp_rule_add_array(context, ERRNO | errno.EAFNOSUPPORT, call, 1, netlink),
        library.seccomp_load(context),
    ):
        if result < 0:
            raise OSError(-result, f"libseccomp: {os.strerror(-result)}")


if __name__ == "__main__":
    binary = shutil.which(sys.argv[1])
    if binary is None:
        sys.exit(f"{sys.argv[1]} is not installed: apt-get install {sys.argv[1]}")
    refuse_netlink()
    os.execv(binary, sys.argv[1:])
