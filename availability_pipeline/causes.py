"""Why the system or DuckDB failed, in one line, what helps, and whether it proves a file damaged.

Nothing else decides that a file is damaged, and nothing but a damaged file is to be moved, deleted or restored. DuckDB
tells neither by a number nor by a class, so its words are read here, and nowhere else. What was attempted is said by
who attempted it.
"""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

_PATH = "correct the path"
_ACCESS = "allow this user to use it, or choose another place"
_MEMORY = "make more memory available"
_REPORT = "try again, and report it if it stays"
_CHECK = "check the disk, and the working database with `validate`"

_SYSTEM = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "raise the limit of the size of files (`ulimit -f`)",
    errno.EIO: "check the disk",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: _ACCESS,
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close programs that have many files open",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`), or end some",
    errno.ENOMEM: _MEMORY,
    errno.ENOENT: _PATH,
    errno.ENOTDIR: _PATH,
    errno.EISDIR: _PATH,
    errno.ENAMETOOLONG: _PATH,
    errno.ELOOP: _PATH,
    errno.EEXIST: _PATH,
}
"""What helps, by the number of the system's error."""

_LOCKED = "Could not set lock"
_OPEN_HERE = ("different configuration", "Unique file handle conflict")

_WORDS = {
    _LOCKED: "close it in the other process",
    **dict.fromkeys(_OPEN_HERE, "close it in this process first"),
    "Out of Memory Error": _MEMORY,
    "newer version of DuckDB": "upgrade duckdb",
    "file with storage version number": "upgrade duckdb",
    "cannot encode str as UTF-8": "choose a path in UTF-8",
    "disk is full": "make room on the disk",
    "readonly database": _ACCESS,
    "disk I/O error": "check the disk",
    "database is locked": "end the process that uses it",
    "unable to open database file": "check the permissions of its folder and the limit of open files (`ulimit -n`)",
    "can't start new thread": "raise the limit of processes (`ulimit -u`), or end some",
    "SOCKS support": "install PySocks, or unset HTTPS_PROXY and ALL_PROXY",
    "CA certificate bundle": "set REQUESTS_CA_BUNDLE to a file that is there, or unset it",
}
"""What helps, by words of an error without a number."""

_NUMBERS = {os.strerror(number): number for number in errno.errorcode}

_WRAPPED = re.compile(r"\[Errno (\d+)\]")
"""The number in the text of an error that another one was made of."""

_DAMAGE = re.compile(
    r"not a valid DuckDB database|Could not read enough bytes|\bcorrupt(?!ed in-memory| temporary)"
    r"|failed to deserialize|^Serialization Error|WAL does not match",
    re.IGNORECASE,
)

_FOREIGN = re.compile(r'Extension ".*/sqlite_scanner\.duckdb_extension" not found')
"""What DuckDB says of a file that is SQLite's."""

_CLOSED = ("No open result set", "closed")

_LOG = re.compile(r'replaying WAL file "(.*?)": ', re.DOTALL)


@dataclass(frozen=True)
class Cause:
    """What an error of the system or of DuckDB says."""

    reason: str
    """One line, without what DuckDB adds below it."""
    remedy: str
    """What helps; never to move, delete or restore anything, because which file is meant is not known here."""


def cause_of(error: Exception) -> Cause:
    """Why something failed, and what helps."""
    text = _text(error)
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        # Those of ssl and of names have numbers of their own.
        remedy = _SYSTEM.get(error.errno) if _NUMBERS.get(error.strerror) == error.errno else None
        return Cause(error.strerror, remedy or _REPORT)
    if wrapped := _WRAPPED.search(text):
        number = int(wrapped[1])
        return Cause(os.strerror(number), _SYSTEM.get(number, _REPORT))
    reason = _first_line(text).rstrip(".") or type(error).__name__
    if (told := _number(text)) is not None:
        return Cause(reason, _SYSTEM.get(told, _REPORT))
    words = _without_names(text)
    known = (helps for sign, helps in _WORDS.items() if sign in words)
    remedy = _CHECK if _DAMAGE.search(words) else next(known, _REPORT)
    return Cause(reason, remedy)


def known_cause(error: Exception) -> Cause | None:
    """The same if it is one that something is known to help against."""
    cause = cause_of(error)
    return None if cause.remedy == _REPORT else cause


def is_damaged(path: Path, error: Exception) -> bool:
    """Whether DuckDB has found a database's own file damaged, or to be none, and not another file that it names."""
    text = _text(error)
    proved = _DAMAGE.search(_without_names(text)) or _FOREIGN.search(text)
    return proved is not None and _is_about(path, text)


def unusable_log(error: Exception) -> Path | None:
    """The write-ahead log that was proved damaged, or to belong to another database."""
    text = _text(error)
    found = _LOG.search(text)
    return Path(found[1]) if found and _DAMAGE.search(_without_names(text)) else None


def is_locked(error: Exception) -> bool:
    """Whether another process has the file open."""
    return _LOCKED in _without_names(_text(error))


def is_open_here(error: Exception) -> bool:
    """Whether this process has the file open already, in a way that does not let it be opened again."""
    words = _without_names(_text(error))
    return any(sign in words for sign in _OPEN_HERE)


def is_closed(error: Exception) -> bool:
    """Whether this process has closed what was still to be read from."""
    words = _without_names(_text(error))
    return any(sign in words for sign in _CLOSED)


def _text(error: Exception) -> str:
    """What it says; DuckDB at times passes its own form of an error on, as JSON."""
    text = str(error)
    start = text.find('{"exception_type"')
    if start < 0:
        return text
    try:
        facts, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return text
    number = str(facts.get("errno", ""))
    said = str(facts.get("exception_message", ""))
    return f"{said}: {os.strerror(int(number))}" if number.isdecimal() and not _number(said) else said


def _number(text: str) -> int | None:
    """The number of the system's error that DuckDB's text ends with the words of."""
    return _NUMBERS.get(_first_line(text).rpartition(": ")[2])


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _without_names(text: str) -> str:
    """The text without what is quoted in it: names of files can have any words in them."""
    return re.sub(r'".*"', '""', text, flags=re.DOTALL)


def _is_about(path: Path, text: str) -> bool:
    """Whether a text names the file, or none."""
    named = re.findall(r'file "([^"]*)"', text)
    return not named or bool({str(path), os.path.abspath(path), os.path.realpath(path)} & set(named))  # noqa: PTH100
