"""DAT-1: no SQL is put together from strings, anywhere in the runtime."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import argos
import pytest

SOURCES = sorted(Path(argos.__file__).parent.rglob("*.py"))

_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|PRAGMA|ALTER|CREATE|DROP|ATTACH|WITH|VACUUM)\s")
_RAW_OF_SQLALCHEMY = {"text", "literal_column"}
_RAW_METHODS = {"exec_driver_sql", "executescript"}


def _begins_like_sql(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return bool(node.values) and _begins_like_sql(node.values[0])
    if isinstance(node, ast.BinOp):
        return _begins_like_sql(node.left)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_SQL.match(node.value))


def _is_built(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return len(node.values) > 1 and _begins_like_sql(node)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.Add, ast.Mod)) and _begins_like_sql(node)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _begins_like_sql(node.func.value)
    return False


def _is_raw(node: ast.AST, imported: set[str]) -> bool:
    """Tell whether ``node`` hands a text that is not a constant to a function that takes SQL as it is."""
    if not isinstance(node, ast.Call) or not node.args or isinstance(node.args[0], ast.Constant):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id in imported
    if not isinstance(node.func, ast.Attribute):
        return False
    owner = getattr(node.func.value, "id", "")
    return node.func.attr in _RAW_METHODS or (owner in {"sa", "sqlalchemy"} and node.func.attr in _RAW_OF_SQLALCHEMY)


def string_built_sql(source: str) -> list[int]:
    """Return the lines where SQL is put together from strings."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
        if alias.name in _RAW_OF_SQLALCHEMY
    }
    return sorted({node.lineno for node in ast.walk(tree) if _is_built(node) or _is_raw(node, imported)})


@pytest.mark.threat("DAT-1")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(Path(argos.__file__).parent)))
def test_no_sql_is_built_from_strings(path: Path) -> None:
    assert string_built_sql(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        'connection.execute(f"SELECT * FROM users WHERE name = {name}")',
        'query = "DELETE FROM users WHERE id = " + identity',
        'query = "UPDATE users SET name = %s" % name',
        'query = "INSERT INTO users VALUES ({})".format(name)',
        "from sqlalchemy import text; connection.execute(text(query))",
        "import sqlalchemy as sa; connection.execute(sa.text(query))",
        'connection.exec_driver_sql("PRAGMA " + name)',
    ],
)
def test_the_rule_catches(line: str) -> None:
    assert string_built_sql(line) == [1]


def test_the_rule_lets_constants_pass() -> None:
    assert string_built_sql('connection.execute(text("SELECT 1"), {"a": name}); log(f"Cannot open {path}")') == []
