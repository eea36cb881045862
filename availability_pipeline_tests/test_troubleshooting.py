"""The troubleshooting guide has an entry for every message that the package can end with, and for no other.

Both are compared as texts, with `…` for what varies, under the class of error. The messages of the simulated archive
are left out: it is a tool for tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from availability_pipeline_tests.dagster_side import root
from availability_pipeline_tests.messages import FIELD, Message, Package, normal

GUIDE = root() / "docs" / "guides" / "troubleshooting.md"
PACKAGE = Package(root() / "availability_pipeline")
MESSAGES = PACKAGE.messages()

ELSEWHERE = {
    "archive/client.py: error.problem": "the failure of a parser, with its contract",
    "cli/__init__.py: str(error)": "an error of the package, as the command line ends with it",
    "cli/__init__.py: error.format_message()": "click's own words about wrong arguments, as a JSON line",
    "launch.py: data.user_failure_data.description or ''": "an error of the package, in which a step ended",
    "worker_process.py: answer['error']": "an error of the package, in which the process of the run ended",
}
"""What is passed on in whole, by file and expression, and where its text comes from."""


def entries(guide: str) -> list[tuple[str, str]]:
    """Class and text of each entry: a quotation, or a line of a table of messages, below a heading with the class."""
    found, kind = [], ""
    for block in re.split(r"\n\s*\n", guide):
        if heading := re.match(r"## (?:`(\w+)`)?", block):
            kind = heading[1] or ""
        elif block.startswith("> "):
            found.append((kind, normal(block[2:].replace("\n> ", " "))))
        elif block.startswith("| message |"):
            found += [(kind, normal(line.split("|")[1])) for line in block.splitlines()[2:]]
    return found


def own(messages: Iterable[Message]) -> dict[tuple[str, str], Message]:
    """Without what is passed on in whole."""
    return {(message.kind, message.text): message for message in messages if message.text != FIELD}


def without_entry(messages: Iterable[Message], guide: str) -> list[str]:
    """What to add to the guide, ready to be pasted, each with the place of its message."""
    known = set(entries(guide))
    return [
        f"{message.file}:{message.line}: below ## `{kind}` add\n> {text}"
        for (kind, text), message in own(messages).items()
        if (kind, text) not in known
    ]


def test_every_message_has_an_entry() -> None:
    missing = without_entry(MESSAGES, GUIDE.read_text("utf-8"))
    assert not missing, "\n\n".join(["docs/guides/troubleshooting.md lacks:", *missing])


def test_every_entry_is_a_message() -> None:
    found, raised = entries(GUIDE.read_text("utf-8")), own(MESSAGES)
    assert [f"no code raises {kind}: {text}" for kind, text in found if (kind, text) not in raised] == []
    assert [entry for entry in set(found) if found.count(entry) > 1] == []


def test_every_class_has_its_section_in_the_order_of_the_tree() -> None:
    assert re.findall(r"^## `(\w+)`", GUIDE.read_text("utf-8"), re.MULTILINE) == list(PACKAGE.classes)


def test_what_is_passed_on_comes_from_somewhere_that_is_known() -> None:
    passed_on = {f"{message.file}: {message.source}" for message in MESSAGES if message.text == FIELD}
    assert passed_on == {f"availability_pipeline/{place}" for place in ELSEWHERE}


ERRORS = """
class AvailabilityError(Exception): ...
class UsageError(AvailabilityError): ...
class Told(AvailabilityError):
    def __init__(self, failures: list[str]) -> None:
        super().__init__(f"{len(failures)} things failed")
class Doubt(UserWarning): ...
"""

WRONG = ["UsageError: it is wrong"]
RAISING = {
    "a constant": ('raise UsageError("it is wrong")', WRONG),
    "fields and several strings": (
        'raise UsageError(f"it is {x!r}, " f"so it {x:,}{x} is " + "wrong")',
        ["UsageError: it is …, so it … is wrong"],
    ),
    "a constant of the module": (
        'raise UsageError(f"it is wrong; {DO}")',
        ["UsageError: it is wrong; do this, now"],
    ),
    "another module": (
        'raise UsageError(f"it is wrong; {ELSEWHERE}")',
        ["UsageError: it is wrong; go there"],
    ),
    "a variable": ('text = f"it is {x}"; raise UsageError(text)', ["UsageError: it is …"]),
    "the nearest variable": (
        'text = "it is right"\n    if x:\n        text = "it is wrong"; raise UsageError(text)',
        WRONG,
    ),
    "one of two": ('raise UsageError("a" if x else "b")', ["UsageError: a", "UsageError: b"]),
    "a function": ("raise UsageError(why(x))", ["UsageError: it is short", "UsageError: it is … long"]),
    "an argument of those who call": ('raise made("it is wrong")', WRONG),
    "a class that is chosen": (
        'kind = AvailabilityError if x else UsageError; raise kind("it is wrong")',
        ["AvailabilityError: it is wrong", *WRONG],
    ),
    "a class of a module": ('raise errors.UsageError("it is wrong")', WRONG),
    "a warning": ('warnings.warn("it is odd", Doubt, stacklevel=2)', ["Doubt: it is odd"]),
    "a class that makes its message": ("raise Told([])", []),
    "not raised but given": ('return UsageError("it is wrong")', WRONG),
}
"""Ways to end with a message, and what is then to be missing in a guide that has only the message of `Told`."""


def messages_of(folder: Path, raising: str) -> list[Message]:
    (folder / "package").mkdir()
    (folder / "package" / "errors.py").write_text(ERRORS)
    (folder / "package" / "other.py").write_text('ELSEWHERE = "go there"\n')
    (folder / "package" / "raising.py").write_text(
        f"""from package.errors import UsageError
from package.other import ELSEWHERE
NOW = "now"
DO = f"do this, {{NOW}}"
def why(x):
    if x:
        return f"it is {{x}} long"
    return "it is short"
def made(text):
    return UsageError(text)
def fail(x):
    {raising}
"""
    )
    return Package(folder / "package").messages()


@pytest.mark.parametrize("case", RAISING)
def test_a_new_message_is_noticed(case: str, tmp_path: Path) -> None:
    code, expected = RAISING[case]
    missing = without_entry(messages_of(tmp_path, code), "## `Told`\n\n> … things failed\n")
    assert sorted(said(missing)) == expected


def said(missing: Iterable[str]) -> Iterator[str]:
    """Class and text of what is missing; every one names its file and line."""
    for one in missing:
        found = re.fullmatch(r"package/raising\.py:\d+: below ## `(\w+)` add\n> (.*)", one)
        assert found, one
        yield f"{found[1]}: {found[2]}"
