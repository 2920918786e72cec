"""A host's limit counts the connection's own address, whatever the client says of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab.admin_api import Declaration
from lab.visitor import Visitor


@pytest.mark.threat("ING-1")
@pytest.mark.threat("ING-5")
def test_over_the_limit_is_429_and_no_forged_address_helps(
    new_visitor: Callable[..., Visitor], declaration: Declaration
) -> None:
    url = f"https://{declaration.name('e2e-limited')}/"
    greedy = new_visitor()
    for number in range(5):
        assert greedy.get(url, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code == 200, number
    forged = (
        {},
        {"X-Forwarded-For": "192.0.2.200"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": f"192.0.2.201, {greedy.address}"},
        {"X-Real-IP": "192.0.2.202"},
        {"Forwarded": "for=192.0.2.203"},
        {"Argos-Client-Ip": "192.0.2.204"},
    )
    for headers in forged:
        answer = greedy.get(url, headers=headers)
        assert answer.status_code == 429, headers
        assert 1 <= int(answer.headers["Retry-After"]) <= 30


@pytest.mark.threat("ING-5")
def test_nobody_can_use_up_anothers_limit(new_visitor: Callable[..., Visitor], declaration: Declaration) -> None:
    url = f"https://{declaration.name('e2e-limited')}/"
    victim, greedy = new_visitor(), new_visitor()
    for _unused in range(8):
        greedy.get(url, headers={"X-Forwarded-For": victim.address})
    assert greedy.get(url).status_code == 429
    assert victim.get(url).status_code == 200


@pytest.mark.threat("ING-1")
def test_the_limit_of_one_host_is_not_anothers(new_visitor: Callable[..., Visitor], declaration: Declaration) -> None:
    greedy = new_visitor()
    for _unused in range(7):
        greedy.get(f"https://{declaration.name('e2e-limited')}/")
    assert greedy.get(f"https://{declaration.name('e2e-limited')}/").status_code == 429
    assert greedy.get(f"https://{declaration.name('e2e-open')}/").status_code == 200
