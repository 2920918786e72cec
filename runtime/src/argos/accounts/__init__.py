"""People: accounts, passwords, and the throttle of sign-in."""

from argos.accounts.errors import BadCredentials, Busy, LastAdmin, SetupCompleted, TooManyFailedLogins
from argos.accounts.model import Role, User
from argos.accounts.passwords import Passwords
from argos.accounts.service import Accounts
from argos.accounts.throttle import Throttle

__all__ = [
    "Accounts",
    "BadCredentials",
    "Busy",
    "LastAdmin",
    "Passwords",
    "Role",
    "SetupCompleted",
    "Throttle",
    "TooManyFailedLogins",
    "User",
]
