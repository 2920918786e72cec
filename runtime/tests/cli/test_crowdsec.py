"""`argos crowdsec credentials` runs as root, wherever root happens to stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from argos.cli import crowdsec
from argos.cli.exits import Stop


def test_a_package_in_the_directory_that_root_stands_in_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "argos"
    planted.mkdir()
    (planted / "__init__.py").write_text("")
    (planted / "__main__.py").write_text("open('was-run', 'w').close()\nprint('{\"changed\": true}')\n")
    (tmp_path / "crowdsec-bouncer-key").write_text("a key")
    monkeypatch.setattr(crowdsec, "SECRETS_DIR", tmp_path)
    monkeypatch.setenv("ARGOS_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("ARGOS_MASTER_KEY", "A" * 43 + "=")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stop, match="nowhere"):
        crowdsec._stored("crowdsec-bouncer-key")
    assert not (tmp_path / "was-run").exists()
