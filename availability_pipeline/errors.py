"""Every failure that a user can meet, as one tree.

    AvailabilityError
    ├── UsageError                what was asked for cannot be done: exit code 2
    ├── ArchiveError              the archive or exchangeInfo did not give a usable answer
    │   ├── ArchiveUnreachable    no connection, DNS failure, time-out, body cut off
    │   ├── ArchiveRefused        an HTTP status that is neither "here" nor "not here"
    │   └── UnexpectedAnswer      an answer that contradicts the protocol
    ├── ArchiveFailures           several of the above, collected over one batch
    ├── ClockError                the machine's clock is not the archive's
    ├── StoreError                the working database cannot be used
    │   └── DatabaseInUse         another process has it open
    ├── BackupError               a backup cannot be made, trusted or restored
    ├── PublicationError          a new published database could not be made or trusted
    ├── UploadError               object storage did not take what is published
    ├── PublishedDatabaseError    the published database cannot be read
    └── RunError                  a Dagster run did not succeed

and one warning, `IncompleteDayWarning`, for an answer that is right and not the whole.

A message says what was attempted, names the culprit, and says what to do. No module but this one
decides which failures are worth another try (`transient`). Nothing here imports anything of ours.

`cause_of` says why the operating system or DuckDB failed, in one line with a remedy. Nothing else decides that a file
is damaged, and only a damaged file is to be moved, deleted or restored. DuckDB reports neither by number nor by class,
so its text is parsed here and nowhere else.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRANSIENT_STATUSES = frozenset({408, 418, 425, 429})
"""HTTP statuses below 500 after which the same request may succeed later: time-out, too early, and rate limits (418 is
Binance's ban of an address that went on after 429)."""

MAX_LISTED_FAILURES = 3
"""How many failures of a batch are spelled out in its message; the rest are counted."""


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed later, after an answer with this HTTP status."""
    return status >= 500 or status in TRANSIENT_STATUSES


class AvailabilityError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1
    transient = False
    """Whether the same attempt may succeed later without anybody doing anything."""


class UsageError(AvailabilityError):
    """A wrong argument or setting; the message names it, its value and what is allowed."""

    exit_code = 2


class ArchiveError(AvailabilityError):
    """One request that did not give a usable answer.

    Args:
        problem: What went wrong, as the end of a sentence about the request.
        url: The URL that was asked.
        symbol: The contract that it was about, if it was about one.
        date: The UTC day as an ISO string, if it was about one.
        status: The HTTP status, if an answer came.
    """

    def __init__(
        self,
        problem: str,
        *,
        url: str,
        symbol: str | None = None,
        date: str | None = None,
        status: int | None = None,
    ) -> None:
        self.problem = " ".join(problem.split())  # a server's own words may come in several lines
        self.url = url
        self.symbol = symbol
        self.date = date
        self.status = status
        subject = " ".join(part for part in (symbol, date) if part)
        super().__init__(f"{subject + ': ' if subject else ''}{self.problem} ({url})")


class ArchiveUnreachable(ArchiveError):
    """No complete answer arrived."""

    transient = True


class ArchiveRefused(ArchiveError):
    """The server answered with a status that says nothing about the file."""

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """True for server errors, request time-out and rate limits."""
        return self.status is not None and is_transient_status(self.status)


class UnexpectedAnswer(ArchiveError):
    """The answer contradicts the protocol, so nothing can be concluded from it."""


class ArchiveFailures(AvailabilityError):
    """All failures of one batch of requests, raised together.

    Args:
        failures: At least one failure, in the order in which they are to be reported.
        attempted: How many requests or symbols the batch had.
    """

    def __init__(self, failures: Sequence[ArchiveError], attempted: int) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(str(failure) for failure in self.failures[:MAX_LISTED_FAILURES])
        more = len(self.failures) - MAX_LISTED_FAILURES
        super().__init__(
            f"{len(self.failures)} of {attempted} symbols failed and nothing was written: {shown}"
            + (f"; and {more} more" if more > 0 else "")
        )

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """True if every failure is."""
        return all(failure.transient for failure in self.failures)


class ClockError(AvailabilityError):
    """The machine's clock and the archive's are too far apart, so that which days are over is not known."""


class StoreError(AvailabilityError):
    """The working database cannot be opened, read or written."""


class DatabaseInUse(StoreError):
    """Another process has the working database open."""

    transient = True


class BackupError(AvailabilityError):
    """A backup cannot be made, trusted or restored."""


class PublicationError(AvailabilityError):
    """The new published database could not be written or failed its audit."""


class UploadError(AvailabilityError):
    """Object storage did not take a generation; its readers have what they had.

    Args:
        message: What was attempted, what went wrong, and what to do.
        transient: Whether the same attempt may succeed later.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class PublishedDatabaseError(AvailabilityError):
    """The published database is missing, damaged, or of another version."""


class RunError(AvailabilityError):
    """A Dagster run ended without success."""


class IncompleteDayWarning(UserWarning):
    """A day of the answer was collected for some contracts only, so others may have files that it does not show."""


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
