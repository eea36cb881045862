"""What documents say that can be wrong: commands, make targets, settings, links, files. `make lint` runs this.

Nothing is executed here; test_commands_in_documents runs the commands.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import click

from availability_pipeline.cli.main import COMMANDS, cli
from availability_pipeline.settings import VARIABLES

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "binance-futures-availability"

BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
VARIABLE = re.compile(r"\bAVAILABILITY_[A-Z0-9_]*[A-Z0-9]\b")
FILE = re.compile(r"(?:availability_pipeline(?:_tests)?|benchmarks|charts|deploy|docs|\.ci)/[\w./-]*[\w/]")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
SHELL = re.compile(r"[|;&>]+|\d?>.*")
"""What ends a command in a shell."""

NAMES = frozenset(variable for variable, _ in VARIABLES.values())

WHERE_VARIABLES_ARE = (
    "*.md",
    "*.yaml",
    "*.yml",
    "*.service",
    "*.timer",
    "*.env",
    "*.example",
    "*.conf",
    "Dockerfile",
)


def documents(root: Path = ROOT) -> list[Path]:
    """The Markdown files of the repository."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("deploy/**/*.md")])


def shown(text: str) -> Iterator[str]:
    """The command lines that a document shows in blocks, after `$ `."""
    for _, language, block in BLOCK.findall(text):
        if language in ("console", "sh", "bash"):
            yield from re.findall(r"^\s*\$ (.*)$", re.sub(r"\\\n\s*", " ", block), re.MULTILINE)


def mentioned(text: str) -> Iterator[str]:
    """The command lines that a document mentions, with or without the program's name: in sentences and crontabs."""
    for _, language, block in BLOCK.findall(text):
        if not language:
            yield from (line for line in block.splitlines() if f"{PROGRAM} " in line)
    for code in INLINE.findall(BLOCK.sub("", text)):
        if code.startswith("make ") or re.search(rf"(^|[\s/]){PROGRAM}\s", code):
            yield code
        elif code.split(" ")[0] in COMMANDS and " " in code:
            yield f"{PROGRAM} {code}"


def problems(document: Path, root: Path = ROOT) -> Iterator[str]:
    """What is wrong in a document, one sentence each."""
    text = document.read_text(encoding="utf-8")
    for line in shown(text):
        yield from _wrong_command(line, whole=True)
    for line in mentioned(text):
        yield from _wrong_command(line, whole=False)
    for name in sorted(set(VARIABLE.findall(text)) - NAMES):
        yield f"there is no setting {name}"
    for target in LINK.findall(text):
        yield from _dead_link(document, target)
    for code in INLINE.findall(BLOCK.sub("", text)):
        if FILE.fullmatch(code) and not any(root.glob(code)) and not (document.parent / code).exists():
            yield f"there is no file {code}"


def _wrong_command(line: str, *, whole: bool) -> Iterator[str]:
    """What is wrong in a line for a shell; one that is not `whole` may lack arguments."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        yield f"the command {line!r} cannot be read ({error})"
        return
    if words[:1] == ["make"]:
        yield from (f"there is no target {word} for make" for word in words[1:] if _is_unknown_target(word))
    for place, word in enumerate(words):
        if word == PROGRAM or word.endswith((f"bin/{PROGRAM}", f"({PROGRAM}")):
            arguments = list(takewhile(lambda text: not SHELL.fullmatch(text), words[place + 1 :]))
            problem = _misunderstood(arguments) if whole else _unknown_name(arguments)
            if problem:
                yield f"the command {line!r} is not understood: {problem}"


def _is_unknown_target(word: str) -> bool:
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    return "=" not in word and not word.startswith("-") and word not in targets


def _resolved(arguments: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that words call, and the words that are left for it."""
    context = click.Context(cli, **cli.context_settings)
    command: click.Command = cli
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    return command, context, arguments


def _misunderstood(arguments: list[str]) -> str | None:
    """What the command line says about arguments that it does not understand; it is not run."""
    try:
        command, context, rest = _resolved([word for word in arguments if word not in ("-h", "--help")])
        command.make_context("", rest, parent=context)
    except click.UsageError as error:
        return error.format_message()
    return None


def _unknown_name(arguments: list[str]) -> str | None:
    """The first command or option that there is not; values may be missing or stand for others."""
    try:
        command, _, rest = _resolved(arguments)
    except click.UsageError as error:
        return error.format_message()
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    names = [re.sub(r"=.*", "", word.strip("[]")) for word in rest]
    return next(
        (f"No such option: {name}" for name in names if name.startswith("--") and name not in known), None
    )


@cache
def _anchors(document: Path) -> frozenset[str]:
    """The anchors of a document's headings, as the usual viewers of Markdown make them."""
    headings = HEADING.findall(BLOCK.sub("", document.read_text(encoding="utf-8")))
    return frozenset(
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        for heading in headings
    )


def _dead_link(document: Path, target: str) -> Iterator[str]:
    path, _, anchor = target.partition("#")
    linked = (document.parent / path).resolve() if path else document
    if not linked.exists():
        yield f"the link {target} leads nowhere"
    elif anchor and linked.suffix == ".md" and anchor not in _anchors(linked):
        yield f"the link {target} leads to no heading of {linked.name}"


def files_with_variables(root: Path = ROOT) -> list[Path]:
    """Files besides documents that name settings."""
    found = {path for pattern in WHERE_VARIABLES_ARE for path in (root / "deploy").rglob(pattern)}
    return sorted(found)


def main() -> int:
    """Print what is wrong in any document; 1 if there is something."""
    found = [f"{path.relative_to(ROOT)}: {problem}" for path in documents() for problem in problems(path)]
    for path in files_with_variables():
        unknown = sorted(set(VARIABLE.findall(path.read_text(encoding="utf-8"))) - NAMES)
        found += [f"{path.relative_to(ROOT)}: there is no setting {name}" for name in unknown]
    print("\n".join(found) or f"{len(documents())} documents: commands, settings, links and files exist")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
