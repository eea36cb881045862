"""The index of decisions is complete, and links name the decision that they lead to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from availability_pipeline_tests.dagster_side import root

FOLDER = root() / "docs" / "decisions"
DECISIONS = sorted(FOLDER.glob("0*.md"))


def described(path: Path) -> tuple[str, str, str, str]:
    """A decision's line of the index: number, title, file, status."""
    title, status = path.read_text("utf-8").split("\n\n")[:2]
    number, _, name = title.removeprefix("# ").partition(". ")
    return number, name, path.name, status.removeprefix("Status: ")


def test_the_index_has_every_decision() -> None:
    index = (FOLDER / "README.md").read_text("utf-8")
    shown = re.findall(r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| (.+?) \|$", index, re.MULTILINE)
    assert shown == [described(path) for path in DECISIONS]


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert numbers == [f"{int(described(path)[0]):04}" for path in DECISIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", sorted(root().glob("docs/**/*.md")), ids=lambda path: path.stem)
def test_decisions_are_called_by_their_numbers(path: Path) -> None:
    for number, file in re.findall(r"\[decision (\d+)\]\(\S*?(\d{4})-", path.read_text("utf-8")):
        assert int(file) == int(number)
