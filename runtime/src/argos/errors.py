"""Errors that reach a person or a caller of the API; each one's message is written for them.

How they become HTTP is decided at one place, in the API: ``Invalid`` 400,
``NotFound`` 404, ``Conflict`` 409, ``Stale`` 412, ``Refused`` 422, ``Unavailable`` 503.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ArgosError(Exception):
    """Something that can be said in one sentence, free of secrets.

    Args:
        message: what is wrong and, where known, what would be right.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class FieldError:
    """One refused input, in the one shape that all callers show.

    Args:
        resource: ``host/photos.home.example``, ``user/alice``.
        field: path inside it, such as ``upstreams[0].url``; empty for the whole.
        problem: what was wrong.
        expected: what would be right.
    """

    resource: str
    field: str
    problem: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.resource}: {self.field}" if self.field else self.resource
        return f"{where}: {self.problem} (expected {self.expected})"


class Invalid(ArgosError):
    """Input that breaks rules: all of its errors at once."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__("; ".join(str(error) for error in self.errors))


class NotFound(ArgosError):
    """What was named does not exist."""


class Conflict(ArgosError):
    """The request is sound, but what is stored does not allow it."""


class Stale(Conflict):
    """``If-Match`` named a state that is no longer the stored one."""


class Refused(ArgosError):
    """Another program (Caddy, CrowdSec) said no; the message is scrubbed of secrets."""


class Unavailable(ArgosError):
    """Cannot be done now; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after
