"""How sign-in and changes of accounts fail."""

from __future__ import annotations

from argos.errors import ArgosError, Conflict, Unavailable


class BadCredentials(ArgosError):
    """The same for an unknown user, a wrong password, a disabled account and one without a password (LOG-2)."""

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong")


class TooManyFailedLogins(ArgosError):
    """Sign-in is banned until ``resets_at``, in seconds since the epoch (LOG-1)."""

    def __init__(self, resets_at: int) -> None:
        super().__init__("Too many failed sign-ins; wait before the next try")
        self.resets_at = resets_at


class WrongCode(ArgosError):
    """A code of a second factor that is wrong, out of its time, or used before: one answer for all three (LOG-4)."""

    def __init__(self) -> None:
        super().__init__("The code is wrong, or was used before")


class Busy(Unavailable):
    """More sign-ins at once than the machine can hash."""

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__("Too many people are signing in at this moment", retry_after)


class SetupCompleted(Conflict):
    """The first admin was made once; set-up never reopens."""

    def __init__(self) -> None:
        super().__init__("Set-up is complete: the first admin was made before; use 'argos user' to make or reset one")


class LastAdmin(Conflict):
    """Without this account nobody could administer."""

    def __init__(self, username: str) -> None:
        super().__init__(f"user/{username}: is the last enabled admin; make another one first")
