"""Settings: right ones are read, wrong ones name their variable and quote no secret."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from argos.doctor.key import check_key
from argos.settings import BadSetting, Settings
from argos.vault import Vault, key_id

from .conftest import MASTER_KEY

KEY = base64.b64encode(bytes(range(32))).decode()


def test_the_defaults_are_the_contracts_paths() -> None:
    settings = Settings.from_environment({})
    assert settings.mode == "behind_caddy"
    assert settings.database == Path("/var/lib/argos/argos.db")
    assert settings.epoch_file == Path("/run/argos-epoch/epoch")
    assert settings.panel_listen == ("0.0.0.0", 9080)
    assert settings == Settings()


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "ARGOS_MODE": "lan",
            "ARGOS_MASTER_KEY": KEY,
            "ARGOS_DATA_DIR": "/srv/argos",
            "ARGOS_PANEL_LISTEN": "[::1]:8080",
            "ARGOS_PANEL_HOSTS": "Argos.lan, 192.168.1.5,,argos",
            "ARGOS_LAPI_URL": "http://127.0.0.1:9999/",
            "ARGOS_LOG_LEVEL": "debug",
        }
    )
    assert settings.mode == "lan"
    assert settings.require_master_key() == bytes(range(32))
    assert settings.database == Path("/srv/argos/argos.db")
    assert settings.panel_listen == ("::1", 8080)
    assert settings.panel_hosts == ("argos.lan", "192.168.1.5", "argos")
    assert settings.lapi_url == "http://127.0.0.1:9999"
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ARGOS_MODE", "behind-caddy"),
        ("ARGOS_MASTER_KEY", "not base64!"),
        ("ARGOS_MASTER_KEY", base64.b64encode(bytes(31)).decode()),
        ("ARGOS_DATA_DIR", "relative/path"),
        ("ARGOS_EPOCH_FILE", "/a\0b"),
        ("ARGOS_PANEL_LISTEN", "9080"),
        ("ARGOS_PANEL_LISTEN", "0.0.0.0:0"),
        ("ARGOS_PANEL_LISTEN", "0.0.0.0:65536"),
        ("ARGOS_PANEL_LISTEN", "example.org:80"),
        ("ARGOS_PANEL_HOSTS", "a b"),
        ("ARGOS_PANEL_HOSTS", "http://argos"),
        ("ARGOS_LAPI_URL", "127.0.0.1:8080"),
        ("ARGOS_LAPI_URL", "http://127.0.0.1:99999"),
        ("ARGOS_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=variable) as raised:
        Settings.from_environment({variable: value})
    assert "expected" in raised.value.message


@pytest.mark.threat("SEC-3")
def test_the_master_key_is_in_no_text_about_the_settings() -> None:
    settings = Settings.from_environment({"ARGOS_MASTER_KEY": KEY})
    assert KEY not in repr(settings)
    assert repr(bytes(range(32))) not in repr(settings)
    for wrong in ("planted-but-no-base64", base64.b64encode(b"planted but too short").decode()):
        with pytest.raises(BadSetting) as raised:
            Settings.from_environment({"ARGOS_MASTER_KEY": wrong})
        assert wrong not in str(raised.value)
        assert raised.value.__cause__ is None
        assert "planted" not in str(raised.value)


def test_a_process_without_a_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="ARGOS_MASTER_KEY: is not set; expected base64 of 32 random bytes"):
        Settings.from_environment({"ARGOS_DATA_DIR": str(tmp_path)}).require_master_key()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["", "not base64!", base64.b64encode(bytes(31)).decode()])
def test_a_missing_or_malformed_key_says_which_key_the_data_wants(vault: Vault, database: Path, given: str) -> None:
    assert vault.key("audit")[0] == 1
    environment = {"ARGOS_DATA_DIR": str(database.parent), "ARGOS_MASTER_KEY": given}
    with pytest.raises(BadSetting, match=f"ARGOS_MASTER_KEY: .*the key with id {key_id(MASTER_KEY)}") as raised:
        Settings.from_environment(environment).require_master_key()
    assert not given or given not in str(raised.value)
    assert raised.value.__context__ is None


def test_the_doctor_says_of_a_missing_key_which_one_is_wanted(vault: Vault, database: Path) -> None:
    vault.key("audit")
    assert key_id(MASTER_KEY) in check_key(Settings(data_dir=database.parent)).message
