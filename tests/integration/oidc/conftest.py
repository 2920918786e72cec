"""A real ``argos serve``, and a provider of our own that lies on request."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for place in (HERE, HERE.parent / "panel", HERE.parents[1] / "providers"):
    sys.path.insert(0, str(place))  # import-mode=importlib leaves a test's neighbours unfindable

from dance import declare_provider  # noqa: E402
from hostile_provider import HostileProvider  # noqa: E402
from panel_runtime import Runtime  # noqa: E402


@pytest.fixture(scope="module")
def running_provider() -> Iterator[HostileProvider]:
    made = HostileProvider()
    yield made
    made.close()


@pytest.fixture
def provider(running_provider: HostileProvider) -> HostileProvider:
    """The provider, honest at the beginning of each test."""
    running_provider.reset()
    return running_provider


@pytest.fixture(scope="module", params=["behind_caddy", "lan"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, running_provider: HostileProvider
) -> Iterator[Runtime]:
    """The runtime in each mode, the provider declared, new people let in."""
    made = Runtime(tmp_path_factory.mktemp(request.param), request.param)
    try:
        made.start()
        made.declare()
        made.people()
        declare_provider(made, running_provider.issuer)
        yield made
    finally:
        made.stop()


@pytest.fixture
def runtime(served: Runtime, provider: HostileProvider) -> Runtime:
    """It, as declared at first, and with nobody's count of begun sign-ins against the test."""
    declare_provider(served, provider.issuer)
    return served
