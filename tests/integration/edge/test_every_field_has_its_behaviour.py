"""No field of what an operator declares is without a test of what it does."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import msgspec
from argos.edge import model
from behaviour_of_fields import BEHAVIOUR, WITHOUT_EFFECT

ROOT = Path(__file__).resolve().parents[3]


def fields_of_the_model() -> set[tuple[str, str]]:
    """Every struct of argos.edge.model with each of its fields."""
    modules = [
        importlib.import_module(f"{model.__name__}.{found.name}") for found in pkgutil.iter_modules(model.__path__)
    ]
    structs = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__ == module.__name__
    }
    assert len(structs) > 20, "or nothing would be looked at"
    return {(struct.__name__, field) for struct in structs for field in struct.__struct_fields__}


def names_of_tests(path: Path) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_each_field_of_the_model_has_a_test_of_its_behaviour() -> None:
    fields = fields_of_the_model()
    assert fields - BEHAVIOUR.keys() - WITHOUT_EFFECT.keys() == set(), "name their tests in behaviour_of_fields.py"
    assert (BEHAVIOUR.keys() | WITHOUT_EFFECT.keys()) - fields == set(), "the model has no such field"
    assert BEHAVIOUR.keys() & WITHOUT_EFFECT.keys() == set()


def test_each_test_that_the_table_names_is_there() -> None:
    named = {test for tests in BEHAVIOUR.values() for test in tests}
    paths = {test.partition("::")[0] for test in named}
    there = {f"{path}::{test}" for path in paths if (ROOT / path).is_file() for test in names_of_tests(ROOT / path)}
    assert named - there == set()
