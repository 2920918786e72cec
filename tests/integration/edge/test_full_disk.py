"""Applies on a disk that fills up at many places: done or not, never half, and visitors notice nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.edge.decode import decode_document
from argos.errors import ArgosError
from argos.sessions.store import Sessions
from argos.storage.tables import users
from edge_rig import ACTOR, EchoUpstream, Edge
from gate_process import gate_process
from one_truth import assert_one_truth, assert_the_doctor_is_content
from small_disk import SmallDisk, levels
from sqlalchemy import insert
from waiting import until

OPEN, GUARDED = "open.home.example", "guarded.home.example"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "edge"
    place.mkdir()
    small = SmallDisk(place, 16)
    with small.mounted():
        yield small


@pytest.fixture
def edge(disk: SmallDisk, caddy_binary: Path) -> Iterator[Edge]:
    """An edge of which everything lies on the small disk, Caddy's storage too, with the real gate."""
    with Edge(disk.place, caddy_binary) as running:
        settings = running.settings
        running.epoch.advance()
        running.epoch.beat()
        environment = {
            "ARGOS_DATA_DIR": str(settings.data_dir),
            "ARGOS_GATE_SOCKET": str(settings.gate_socket),
            "ARGOS_EPOCH_FILE": str(settings.epoch_file),
            "ARGOS_SEEN_SOCKET": str(running.place / "run/seen.sock"),
        }
        with gate_process(environment):
            yield running


def signed_in(edge: Edge) -> str:
    """The header that a signed-in browser sends."""
    with edge.storage.write() as connection:
        row = {"username": "alice", "role": "member", "created_at": 1, "updated_at": 1}
        user = connection.execute(insert(users).values(**row)).inserted_primary_key[0]
    issued = Sessions(edge.storage, edge.audit, edge.epoch).begin(ACTOR, user, "127.0.0.1")
    return f"Cookie: __Secure-argos_session={issued.edge_token}\r\n"


def status(edge: Edge, host: str, headers: str = "") -> int:
    """What a visitor gets, who asks again where a reload has just closed the connection, as browsers do."""
    answers: list[int] = []

    def answered() -> bool:
        answers.append(edge.ask(host, headers=headers).status)
        return answers[-1] != 0

    until(answered)
    return answers[-1]


@pytest.mark.threat("DAT-4")
def test_an_apply_on_a_disk_that_fills_up_is_in_force_or_was_not_and_nobody_is_denied(
    disk: SmallDisk, edge: Edge, echo: EchoUpstream
) -> None:
    upstreams = [{"url": echo.url}]
    edge.apply(
        [{"name": OPEN, "upstreams": upstreams}, {"name": GUARDED, "upstreams": upstreams, "auth": {"required": True}}]
    )
    cookie = signed_in(edge)
    assert status(edge, OPEN) == status(edge, GUARDED, cookie) == 200
    wanted, refused = {OPEN, GUARDED}, 0
    for pages in levels(2000):
        name = f"after-{pages}.home.example"
        declared = {"name": name, "upstreams": upstreams, "auth": {"required": True}, "tls": {"mode": "internal"}}
        document = decode_document({"owner": "test", "hosts": [declared]})
        warnings: tuple[str, ...] = ()
        with disk.filled(pages):
            try:
                warnings = edge.engine.apply(ACTOR, document).warnings
                wanted.add(name)
            except ArgosError:
                refused += 1
            assert status(edge, OPEN) == status(edge, GUARDED, cookie) == 200, pages
            assert status(edge, GUARDED) == 401, pages
        edge.engine.reconcile()
        assert assert_one_truth(edge) == wanted, pages
        assert_the_doctor_is_content(edge, pages, but_for=["disk"])  # which is small for good
        if name in wanted and not warnings:
            break
    else:
        pytest.fail("never enough room")
    assert refused >= 4
