"""docs/threat-model.md says what the tests say."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
GENERATOR = CHECKOUT / "scripts" / "threat_model.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("threat_model", str(GENERATOR))
    spec = importlib.util.spec_from_loader("threat_model", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_markers_count_on_functions_classes_and_modules(generator: ModuleType) -> None:
    source = """
import pytest
pytestmark = [pytest.mark.threat("ING-1"), pytest.mark.slow]
class TestIt:
    @pytest.mark.threat("ING-2", "ING-3")
    def test_a(self): ...
@pytest.mark.parametrize("x", [1])
def test_b(x): ...
def helper(): ...
"""
    found = set(generator.proofs_in(ast.parse(source).body, set()))
    assert found == {("ING-1", "test_a"), ("ING-2", "test_a"), ("ING-3", "test_a"), ("ING-1", "test_b")}


def test_a_row_without_a_test_is_named_as_such(generator: ModuleType) -> None:
    known = yaml.safe_load((CHECKOUT / "docs" / "threat-rows.yml").read_text())
    text = generator.page(known, {"ING-1": {("tests/x/test_y.py", "test_it_holds")}})
    assert "it holds" in text
    assert "promises, 1 with a test" in text
    assert "None yet: ING-2" in text
    assert text.count("**No test proves this yet.**") == sum(len(group["rows"]) for group in known["groups"]) - 1
