#!/usr/bin/env python3
"""Debian's Chromium, deaf to changes of this machine's network.

The kernel tells it by netlink of each address that comes and goes, of any interface, and Chromium then aborts what it
is loading (ERR_NETWORK_CHANGED): a form that was being sent is lost. Guests and namespaces that other tests make and
remove meanwhile are such changes. Without netlink it works as on a machine whose network stays as it is.
"""

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
    binary = shutil.which("chromium")
    if binary is None:
        sys.exit("This suite needs Debian's chromium: apt-get install chromium")
    refuse_netlink()
    os.execv(binary, [binary, *sys.argv[1:]])
