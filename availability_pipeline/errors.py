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
"""

from __future__ import annotations

from collections.abc import Sequence

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
