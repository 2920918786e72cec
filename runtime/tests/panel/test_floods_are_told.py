"""What a flood pushed out is counted, and the doctor tells it (DAT-4)."""

from __future__ import annotations

import pytest
from argos.application import Application
from argos.oidc.pending import Begun

BEGUN = Begun("https://id.example", "argos", "the nonce", "the verifier", "https://a.example/oidc/callback", "/")


@pytest.mark.threat("DAT-4")
def test_what_went_for_want_of_room_is_told(application: Application) -> None:
    def told() -> list[str]:
        return [finding.message for finding in application.health() if finding.name == "sign-in floods"]

    assert told() == []
    application.oidc.pending._most = 2
    for _unused in range(5):
        application.oidc.pending.put(BEGUN)
    assert told() == ["Since the start 0 counts of failed sign-ins and 3 begun ones went for newer ones."]
