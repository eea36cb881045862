"""Paths: which of them every library here can use. Any other is refused before anything is made.

A path is data: no character in it means anything, and none is cut off. Nothing is made or opened here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from availability_pipeline.errors import UsageError

# DuckDB puts the ending of its log before the first, and takes the second for a slash.
_NO_DATABASE = re.compile(r"[?\\]")

# Dagster makes a URL of the path without encoding it.
_NO_SQLITE = re.compile(r"\?|%[0-9A-Fa-f]{2}")


def path_named(name: str, text: str) -> Path:
    """A path in full, as it is written.

    Args:
        name: The argument or setting that it comes from, for the message.
        text: What was given.

    Raises:
        UsageError: It is empty or -, or not UTF-8, itself or where links lead to, or there is no current folder to go
            from.
    """
    if not text:
        raise UsageError(f"{name} is empty; it must be a path")
    if text == "-":
        raise UsageError(f"{name} is -, which stands for a stream; it must be a path, such as ./-")
    for path in _as_written_and_resolved(name, text):
        if not _is_utf8(path):
            raise UsageError(
                f"{name} is {path!r}, which is not text in UTF-8; rename it, or choose another path"
            )
    return Path(text).absolute()


def database_path(name: str, text: str) -> Path:
    """Likewise, for a database of DuckDB or a folder of some; `~` is the home directory.

    Raises:
        UsageError: Also if DuckDB would open another file, or the home directory is not known.
    """
    expanded = os.path.expanduser(text)  # noqa: PTH111 - a Path of ./~ is one of ~
    if expanded.startswith("~"):
        raise UsageError(f"{name} is {text!r}, whose home directory is not known; write the path in full")
    return check_database_path(name, path_named(name, expanded))


def check_database_path(name: str, path: Path) -> Path:
    """The path, if DuckDB can open a database there.

    Raises:
        UsageError: It would open another file.
    """
    for each in _as_written_and_resolved(name, str(path)):
        if found := _NO_DATABASE.search(each):
            raise UsageError(
                f"{name} is {each!r}, where DuckDB can have no database because of the {found[0]}; choose a path "
                "without ? and \\"
            )
    return path


def check_instance_path(folder: Path) -> None:
    """Pass if Dagster can keep its SQLite databases there.

    Raises:
        UsageError: They would be opened elsewhere.
    """
    if found := _NO_SQLITE.search(str(folder)):
        raise UsageError(
            f"the Dagster instance would be in {str(folder)!r}, where Dagster cannot open its databases because of the "
            f"{found[0]}; set DAGSTER_HOME (or `demo --data-dir`) to a folder without ? and without % before two "
            "hexadecimal digits"
        )


def _as_written_and_resolved(name: str, text: str) -> Iterator[str]:
    try:
        path = str(Path(text).absolute())
    except FileNotFoundError:
        raise UsageError(
            f"{name} is {text!r}, but the current folder is gone; write the path in full"
        ) from None
    yield path
    yield os.path.realpath(path)


def _is_utf8(path: str) -> bool:
    """Whether the system and DuckDB, which is given UTF-8, mean the same file by it."""
    try:
        return "\0" not in path and os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        return False
