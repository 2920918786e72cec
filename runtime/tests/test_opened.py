"""The vault opened for one question, by commands that serve nobody."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from argos.application import opened
from argos.audit import Actor
from argos.named_secrets import NamedSecrets
from argos.settings import Settings
from argos.vault import Vault, WrongMasterKey

from .conftest import MASTER_KEY

OTHER = bytes(32)


@pytest.mark.threat("SEC-4")
@pytest.mark.parametrize("keys", [(MASTER_KEY, None), (MASTER_KEY, OTHER), (OTHER, MASTER_KEY)])
def test_it_opens_with_either_key_of_a_rotation(
    named_secrets: NamedSecrets, actor: Actor, database: Path, keys: tuple[bytes, bytes | None]
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    with opened(Settings(master_key=keys[0], master_key_next=keys[1], data_dir=database.parent)) as here:
        assert here.secrets.reveal("smtp") == "a password"
        assert here.audit.examine().sound is True
        said = f"a password under {base64.b64encode(MASTER_KEY).decode()}"
        assert here.scrubber.scrub(said) == "[redacted] under [redacted]"


def test_a_wrong_key_opens_nothing(vault: Vault, database: Path) -> None:
    assert vault.key("audit")[0] == 1
    with pytest.raises(WrongMasterKey), opened(Settings(master_key=OTHER, data_dir=database.parent)):
        raise AssertionError("it opened")
