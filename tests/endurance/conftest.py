"""Lets the tests here find what other suites share and the guest's directories of the runtime's own tests; a guest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parents[1] / "runtime/tests/backup")]

from dying_guest import kept_as_it_is  # noqa: E402
from guest_rig import Guest  # noqa: E402
from lived_in import lived_in  # noqa: E402


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Guest, Path]:
    """A guest with a backup of alice's time, and bob and another CA since."""
    return lived_in(tmp_path_factory.mktemp("lived-in") / "guest")


@pytest.fixture
def archive(prepared: tuple[Guest, Path]) -> Path:
    """Its backup, which lies on it."""
    return prepared[1]


@pytest.fixture
def kept(prepared: tuple[Guest, Path]) -> Iterator[Path]:
    """A copy of the prepared guest, which is put back afterwards."""
    with kept_as_it_is(prepared[0]) as copy:
        yield copy


@pytest.fixture
def guest(prepared: tuple[Guest, Path], kept: Path) -> Guest:
    """The prepared guest."""
    return prepared[0]
