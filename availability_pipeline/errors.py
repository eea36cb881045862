"""All errors of the package, and the causes of errors of the system and DuckDB.

    AvailabilityError
    ├── UsageError                an invalid argument or setting: exit code 2
    ├── ArchiveError              a request to the archive or exchangeInfo failed
    │   ├── ArchiveUnreachable    no connection, DNS failure, time-out, truncated body
    │   ├── ArchiveRefused        an HTTP status other than 200 and 404
    │   └── UnexpectedAnswer      a response that contradicts the protocol
    ├── ArchiveFailures           several of the above, collected over one batch
    ├── ClockError                the machine's clock is not the archive's
    ├── StoreError                the working database cannot be used
    │   └── DatabaseInUse         another process has it open
    ├── BackupError               a backup cannot be made, trusted or restored
    ├── PublicationError          a new published database could not be made or trusted
    ├── UploadError               a generation could not be uploaded to object storage
    ├── PublishedDatabaseError    the published database cannot be read
    └── RunError                  a Dagster run did not succeed

and one warning, `IncompleteDayWarning`.

A message says what was attempted, names the culprit and a remedy. `transient` alone decides which failures are retried.
`is_damaged` alone decides that a file is damaged, and only then a message says to move or restore it. DuckDB reports
neither by number nor by class, so its text is parsed here and nowhere else.
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
"""Transient HTTP statuses below 500: time-out, too early, rate limits (418 is Binance's ban after ignored 429s)."""

MAX_LISTED_FAILURES = 3
"""Failures in the message of a batch; the rest are counted."""


def is_transient_status(status: int) -> bool:
    """Whether a request with this HTTP status may succeed later."""
    return status >= 500 or status in TRANSIENT_STATUSES


class AvailabilityError(Exception):
    """Base of all errors of the package."""

    exit_code = 1
    transient = False
    """Whether a retry may succeed."""


class UsageError(AvailabilityError):
    """An invalid argument or setting; the message names it, its value and what is allowed."""

    exit_code = 2


class ArchiveError(AvailabilityError):
    """A failed request.

    Args:
        problem: What went wrong.
        url: The requested URL.
        symbol: The contract, if the request was about one.
        date: The UTC day as an ISO string, likewise.
        status: The HTTP status of a response.
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
        self.problem = " ".join(problem.split())  # a server's text may have several lines
        self.url = url
        self.symbol = symbol
        self.date = date
        self.status = status
        subject = " ".join(part for part in (symbol, date) if part)
        super().__init__(f"{subject + ': ' if subject else ''}{self.problem} ({url})")


class ArchiveUnreachable(ArchiveError):
    """No complete response arrived."""

    transient = True


class ArchiveRefused(ArchiveError):
    """The status says nothing about the file."""

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """True for server errors, request time-out and rate limits."""
        return self.status is not None and is_transient_status(self.status)


class UnexpectedAnswer(ArchiveError):
    """The response contradicts the protocol."""


class ArchiveFailures(AvailabilityError):
    """All failures of a batch of requests.

    Args:
        failures: At least one, in order of the report.
        attempted: Symbols in the batch, or what else it is about.
        outcome: What became of them, as the end of a sentence.
    """

    def __init__(
        self,
        failures: Sequence[ArchiveError],
        attempted: int,
        outcome: str = "symbols failed and nothing was written",
    ) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(str(failure) for failure in self.failures[:MAX_LISTED_FAILURES])
        more = len(self.failures) - MAX_LISTED_FAILURES
        super().__init__(
            f"{len(self.failures):,} of {attempted:,} {outcome}: {shown}"
            + (f"; and {more} more" if more > 0 else "")
        )

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """True if every failure is."""
        return all(failure.transient for failure in self.failures)


class ClockError(AvailabilityError):
    """The machine's clock differs too much from the archive's, so that it is unknown which days are over."""


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
    """A generation could not be uploaded; readers of object storage keep the one before."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class PublishedDatabaseError(AvailabilityError):
    """The published database is missing, damaged, or of another version."""


class RunError(AvailabilityError):
    """A Dagster run ended without success."""


class IncompleteDayWarning(UserWarning):
    """A day of the result was collected for some contracts only, has no files, or lacks what a rule needs."""


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
"""Remedies by errno."""

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
"""Remedies by the text of errors without errno."""

_NUMBERS = {os.strerror(number): number for number in errno.errorcode}

_WRAPPED = re.compile(r"\[Errno (\d+)\]")
"""errno in the text of a wrapped error."""

_DAMAGE = re.compile(
    r"not a valid DuckDB database|Could not read enough bytes|\bcorrupt(?!ed in-memory| temporary)"
    r"|failed to deserialize|^Serialization Error|WAL does not match",
    re.IGNORECASE,
)

_FOREIGN = re.compile(r'Extension ".*/sqlite_scanner\.duckdb_extension" not found')
"""DuckDB's error for a SQLite file."""

_CLOSED = ("No open result set", "closed")

_LOG = re.compile(r'replaying WAL file "(.*?)": ', re.DOTALL)


@dataclass(frozen=True)
class Cause:
    """Reason and remedy of an error of the system or DuckDB."""

    reason: str
    """One line, without DuckDB's additions below it."""
    remedy: str
    """Never to move, delete or restore anything, because the affected file is unknown here."""


def cause_of(error: Exception) -> Cause:
    """Reason and remedy of an error."""
    text = _text(error)
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        # ssl and name resolution have other numbers.
        remedy = _SYSTEM.get(error.errno) if _NUMBERS.get(error.strerror) == error.errno else None
        return Cause(error.strerror, remedy or _REPORT)
    if wrapped := _WRAPPED.search(text):
        code = int(wrapped[1])
        return Cause(os.strerror(code), _SYSTEM.get(code, _REPORT))
    reason = _first_line(text).rstrip(".") or type(error).__name__
    if (number := _number(text)) is not None:
        return Cause(reason, _SYSTEM.get(number, _REPORT))
    words = _without_names(text)
    known = (helps for sign, helps in _WORDS.items() if sign in words)
    remedy = _CHECK if _DAMAGE.search(words) else next(known, _REPORT)
    return Cause(reason, remedy)


def known_cause(error: Exception) -> Cause | None:
    """`cause_of` if it has a specific remedy."""
    cause = cause_of(error)
    return None if cause.remedy == _REPORT else cause


def is_damaged(path: Path, error: Exception) -> bool:
    """Whether DuckDB proved that this file is damaged or not a database."""
    text = _text(error)
    proved = _DAMAGE.search(_without_names(text)) or _FOREIGN.search(text)
    return proved is not None and _is_about(path, text)


def unusable_log(error: Exception) -> Path | None:
    """The write-ahead log that DuckDB proved damaged or of another database."""
    text = _text(error)
    found = _LOG.search(text)
    return Path(found[1]) if found and _DAMAGE.search(_without_names(text)) else None


def is_locked(error: Exception) -> bool:
    """Whether another process has the file open."""
    return _says(error, _LOCKED)


def is_open_here(error: Exception) -> bool:
    """Whether this process has the file open in an incompatible way."""
    return _says(error, *_OPEN_HERE)


def is_closed(error: Exception) -> bool:
    """Whether this process closed a connection or result that was still being read."""
    return _says(error, *_CLOSED)


def _says(error: Exception, *signs: str) -> bool:
    words = _without_names(_text(error))
    return any(sign in words for sign in signs)


def _text(error: Exception) -> str:
    """The message; DuckDB sometimes passes errors on as JSON."""
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
    """The errno whose text DuckDB's message ends with."""
    return _NUMBERS.get(_first_line(text).rpartition(": ")[2])


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _without_names(text: str) -> str:
    """The text without quoted names of files, which may contain any words."""
    return re.sub(r'".*"', '""', text, flags=re.DOTALL)


def _is_about(path: Path, text: str) -> bool:
    """Whether a text names this file, or none."""
    named = re.findall(r'file "([^"]*)"', text)
    return not named or bool({str(path), os.path.abspath(path), os.path.realpath(path)} & set(named))  # noqa: PTH100
