"""Every role's argument_specs.yml is the truth about its variables, and defaults/main.yml agrees with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
SITE = ROLES / "site"  # describes the playbooks' variables: test_site_variables.py
ROLE_DIRECTORIES = sorted(path.parent.parent for path in ROLES.glob("*/tasks/main.yml") if path.parent.parent != SITE)
READERS = {"tasks", "templates", "handlers", "vars"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "path": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "list": list,
    "dict": dict,
}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def options_of(role: Path) -> dict[str, Any]:
    return read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})


def is_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def test_there_are_roles_to_compare() -> None:
    assert ROLE_DIRECTORIES


@pytest.mark.parametrize("role", ROLE_DIRECTORIES, ids=lambda role: role.name)
def test_the_specs_and_the_defaults_name_the_same_variables_with_the_same_values(role: Path) -> None:
    options = options_of(role)
    defaults = read(role / "defaults" / "main.yml")
    optional = {name: option.get("default") for name, option in options.items() if not option.get("required")}
    assert defaults == optional


@pytest.mark.parametrize("role", ROLE_DIRECTORIES, ids=lambda role: role.name)
def test_every_public_variable_is_named_after_its_role(role: Path) -> None:
    strangers = [name for name in options_of(role) if not name.startswith(f"argos_{role.name}_")]
    assert strangers == []


@pytest.mark.parametrize("role", ROLE_DIRECTORIES, ids=lambda role: role.name)
def test_every_variable_is_described_and_its_default_is_of_its_type(role: Path) -> None:
    for name, option in options_of(role).items():
        assert option.get("description"), f"{name} has no description"
        assert option.get("type") in TYPES, f"{name} has no type, or an unknown one"
        default = option.get("default")
        if default is not None and not is_template(default):
            assert isinstance(default, TYPES[option["type"]]), f"{name}: {default!r} is no {option['type']}"
            assert option["type"] == "bool" or not isinstance(default, bool), f"{name}: {default!r} is a bool"
        if "choices" in option and default is not None and not is_template(default):
            chosen = default if isinstance(default, list) else [default]
            assert set(chosen) <= set(option["choices"]), f"{name}: {default!r} is not among its choices"


@pytest.mark.parametrize("role", ROLE_DIRECTORIES, ids=lambda role: role.name)
def test_every_declared_variable_is_read_by_the_role(role: Path) -> None:
    read_from = [path for path in role.rglob("*") if path.suffix in {".yml", ".j2"} and path.parent.name in READERS]
    text = "\n".join(path.read_text(encoding="utf-8") for path in read_from)
    unread = [name for name in options_of(role) if name not in text]
    assert unread == []
