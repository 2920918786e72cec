"""`GET …/hosts` and `GET …/hosts/{name}`."""

from __future__ import annotations

from typing import Any

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application
from argos.edge.model import Host
from argos.edge.plan import State
from argos.errors import NotFound


def host_answer(state: State, name: str) -> dict[str, Any]:
    """A host's stored spec with its ``name``, ``owner`` and ``url``.

    Raises:
        NotFound: no such host is declared.
    """
    stored = state.resources.get(("host", name))
    if stored is None:
        raise NotFound(f"host/{name}: not declared")
    host: Host = stored.value
    tls = host.tls or (state.edge.tls if state.edge else None)
    scheme = "http" if tls is not None and tls.mode == "off" else "https"
    return {**stored.spec, "name": name, "owner": stored.owner, "url": f"{scheme}://{name}"}


class HostList:
    """All declared hosts."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """By name."""
        state = self._application.state()
        names = sorted(name for kind, name in state.resources if kind == "host")
        bodies.write(resp, {"hosts": [host_answer(state, name) for name in names]})


class OneHost:
    """One declared host."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """404 when it is not declared."""
        bodies.write(resp, host_answer(self._application.state(), name))
