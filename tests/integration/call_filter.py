"""A filter of this process's system calls, by libseccomp, which Debian's systemd has. Only the standard library."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

TRACE, ERRNO = 0x7FF00000, 0x00050000  # <seccomp.h>; an error's number is added to the latter
EQUAL, MASKED_EQUAL = 4, 7
_ALLOW = 0x7FFF0000


class Condition(ctypes.Structure):
    """``struct scmp_arg_cmp``: the argument, how it is compared, and one or two values."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


_library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
_library.seccomp_init.restype = ctypes.c_void_p
_library.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Condition),
]  # fmt: skip
_library.seccomp_load.argtypes = [ctypes.c_void_p]


def number_of(name: str) -> int:
    """Return a call's number; below 0 where this architecture has none of that name."""
    return int(_library.seccomp_syscall_resolve_name(name.encode()))


def load(action: int, calls: Iterable[tuple[int, Condition | None]]) -> None:
    """Meet these calls, for good, with ``action``: by number, each always or where its condition holds.

    Raises:
        OSError: libseccomp or the kernel refuses.
    """
    context = _library.seccomp_init(_ALLOW)
    for number, condition in calls:
        conditions = (Condition * 1)(*([condition] if condition else []))
        count = int(condition is not None)
        _checked(_library.seccomp_rule_add_array(context, action, number, count, conditions))
    _checked(_library.seccomp_load(context))


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(-result, f"libseccomp: {os.strerror(-result)}")
