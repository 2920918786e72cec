"""Every route of the panel's router and what it needs: a new route is walked without being added anywhere (AUT-1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon
import falcon.inspect
from argos.api.access import Needs, needs_of
from argos.application import Application
from argos.panel.app import panel_app
from argos.settings import Settings

HALF_WAY = {None: "/login", Needs.SECOND_FACTOR: "/second-factor", Needs.PASSWORD_CHANGE: "/password"}
"""Where each of those who are not wholly signed in is led from a page; None: nobody."""


@dataclass(frozen=True)
class Step:
    """A method of a route, and an address that it answers, with names of nothing that there is."""

    method: str
    route: str
    target: str
    needs: Needs

    @property
    def is_api(self) -> bool:
        """Whether refusals are JSON."""
        return self.route.startswith("/api/")

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    def admits(self, level: Needs | None) -> bool:
        """Whether one who stands as high as ``level`` passes; None: nobody."""
        return (level or Needs.NOBODY) >= self.needs

    def assert_denied(self, level: Needs | None, status: int, location: str) -> None:
        """Fail unless the answer is the refusal that one of ``level`` is to get here."""
        said = f"{self.method} {self.target} as {level!r}: {status} {location}"
        if self.is_api:
            assert status == (401 if level is None else 403), said
        elif level in HALF_WAY and (self.reads or level is None):
            assert (status, location.partition("?")[0]) == (303, HALF_WAY[level]), said
        else:
            assert status == 403, said

    def assert_admitted(self, status: int, location: str) -> None:
        """Fail if the door, or a fault, is what answered."""
        said = f"{self.method} {self.target}: {status} {location}"
        assert status not in {401, 500}, said
        if self.needs is not Needs.NOBODY and self.route not in HALF_WAY.values():  # those lead on by themselves
            assert status != 303 or location.partition("?")[0] not in HALF_WAY.values(), said
        # Of what nobody needs to be anybody for, some answers 403 by itself: no proxy, no session, no host.
        assert status != 403 or self.route in {"/api/auth/forward", "/continue", "/denied"}, said


def steps_of(app: falcon.App[Any, Any]) -> list[Step]:
    """Each method that a route of ``app`` has of its own, with what its resource declares that it needs."""
    found = []
    for route in falcon.inspect.inspect_routes(app):
        target = re.sub(r"\{\w+\}", "nothing-here", route.path)
        matched = app._router.find(target)  # Falcon tells the resources of its routes nowhere else
        assert matched is not None, target
        assert matched[3] == route.path, f"{target} is another route's"
        methods = [method.method for method in route.methods if not method.internal]
        found += [Step(method, route.path, target, needs_of(matched[0])) for method in methods]
    return found


def every_step(place: Path) -> list[Step]:
    """The steps of a panel over an empty directory, to be walked over another one's HTTP."""
    settings = Settings(master_key=bytes(range(32)), data_dir=place, epoch_file=place / "epoch")
    application = Application.from_settings(settings)
    try:
        return steps_of(panel_app(application))
    finally:
        application.close()
