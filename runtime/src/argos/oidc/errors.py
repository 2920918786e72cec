"""What goes wrong at signing in with a provider, each told to the person in its own words."""

from __future__ import annotations

from argos.errors import ArgosError, Conflict, NotFound, Unavailable


class NotOffered(NotFound):
    """No provider is declared, or it is switched off."""

    def __init__(self) -> None:
        super().__init__("Signing in with a provider is not switched on here. Sign in with user name and password.")


class ProviderUnavailable(Unavailable):
    """The provider does not answer, or not as it must; the local way in is open (OIDC-6)."""


class Crowded(ProviderUnavailable):
    """As many wait for the provider as may."""

    def __init__(self) -> None:
        super().__init__("Too many sign-ins wait for the provider. Load this page again in a moment.")


class UnknownState(Conflict):
    """``state`` is of no sign-in that this browser has begun: used, expired, or somebody else's (OIDC-1)."""

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was finished already, took longer than ten minutes, or began in another browser. "
            "Begin again from the sign-in page."
        )


class ProviderRefused(ArgosError):
    """The provider sent the person back without a sign-in."""


class TokenRejected(ArgosError):
    """What the provider sent does not prove who somebody is (OIDC-3)."""


class NotAllowed(ArgosError):
    """The provider knows the person, and the operator did not mean them (OIDC-4)."""
