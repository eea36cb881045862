"""Every decision has the same parts in the same order, and the index has every decision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from availability_pipeline_tests.dagster_side import root

FOLDER = root() / "docs" / "decisions"
INDEX = (FOLDER / "README.md").read_text("utf-8")
DECISIONS = sorted(FOLDER.glob("0*.md"))
PARTS = ["Context", "Options", "Evidence", "Decision", "Consequences"]
STATUS = r"Status: (accepted|superseded by \[\d+\]\(\d{4}-[a-z-]+\.md\)), \d{4}-\d{2}-\d{2}"


def parts_of(text: str) -> dict[str, str]:
    """The parts of a decision by their titles, in order."""
    _, *titles_and_texts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_all_parts(path: Path) -> None:
    text = path.read_text("utf-8")
    title, status = text.split("\n\n")[:2]
    assert title.startswith(f"# {int(path.stem[:4])}. ")
    assert re.fullmatch(STATUS, status)
    parts = parts_of(text)
    assert list(parts) == PARTS
    assert len(re.findall(r"^\d\. ", parts["Options"], re.MULTILINE)) > 1
    assert re.search(r"[Oo]ption \d", parts["Decision"]), "it does not say which option"
    assert re.search(r"\d", parts["Evidence"]), "nothing was measured"
    assert all(len(part) > 60 for part in parts.values())


def test_the_index_has_every_decision() -> None:
    shown = re.findall(r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| (.+?) \|$", INDEX, re.MULTILINE)
    assert shown == [described(path) for path in DECISIONS]


def described(path: Path) -> tuple[str, str, str, str]:
    """A decision's line of the index."""
    title, status = path.read_text("utf-8").split("\n\n")[:2]
    number, _, name = title.removeprefix("# ").partition(". ")
    return number, name, path.name, status.removeprefix("Status: ")


def test_numbers_are_not_given_twice() -> None:
    assert len({path.name[:4] for path in DECISIONS}) == len(DECISIONS) > 10


@pytest.mark.parametrize("path", [FOLDER / "README.md", *DECISIONS], ids=lambda path: path.stem)
def test_decisions_are_called_by_their_numbers(path: Path) -> None:
    for number, file in re.findall(
        r"\[decision (\d+)\]\((?:decisions/)?(\d{4}-[a-z-]+\.md)\)", path.read_text("utf-8")
    ):
        assert int(file[:4]) == int(number)
        assert (FOLDER / file).exists()
