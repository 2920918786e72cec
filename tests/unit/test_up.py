"""What ``make up`` keeps of its own duration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from up import is_whole


@pytest.mark.parametrize("arguments", [[], ["--diff"], ["-e", "argos_sample=false"], ["-v", "--forks", "4"]])
def test_a_run_of_the_whole_site_counts(arguments: list[str]) -> None:
    assert is_whole(arguments)


@pytest.mark.parametrize(
    "arguments", [["--tags", "guest"], ["--tags=guest"], ["-t", "guest"], ["--skip-tags", "guest"], ["--check"]]
)
def test_a_run_of_a_part_is_no_figure_of_the_whole(arguments: list[str]) -> None:
    assert not is_whole(arguments)
