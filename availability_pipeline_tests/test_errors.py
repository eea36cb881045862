"""Errors: what a message carries, which exit code it brings, and which failures are worth another try.

Callers decide by these facts alone, so a failure of the wrong kind is retried for ever or not at all.
"""

from __future__ import annotations

import pytest

from availability_pipeline import errors
from availability_pipeline.errors import ArchiveError, ArchiveFailures, ArchiveRefused, AvailabilityError

ALL = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AvailabilityError)
]
URL = "https://example.com/x"


def refused(status: int | None) -> ArchiveRefused:
    return ArchiveRefused("refused", url=URL, symbol="BTCUSDT", status=status)


def test_every_error_is_in_the_tree_and_in_its_picture() -> None:
    assert len(ALL) >= 12
    assert all(kind.__name__ in (errors.__doc__ or "") and kind.__doc__ for kind in ALL)


@pytest.mark.parametrize("kind", ALL)
def test_only_wrong_usage_has_exit_code_two(kind: type[AvailabilityError]) -> None:
    assert kind.exit_code == (2 if kind is errors.UsageError else 1)


def test_a_message_names_contract_day_problem_and_url() -> None:
    error = ArchiveError("it went wrong", url=URL, symbol="BTCUSDT", date="2024-01-15", status=500)
    assert str(error) == f"BTCUSDT 2024-01-15: it went wrong ({URL})"
    assert (error.symbol, error.date, error.status, error.url) == ("BTCUSDT", "2024-01-15", 500, URL)


def test_a_message_without_a_contract_begins_with_the_problem() -> None:
    assert str(ArchiveError("it went wrong", url=URL)) == f"it went wrong ({URL})"


def test_a_message_is_one_line_whatever_the_server_said() -> None:
    error = ArchiveError("it said:\n  go\r\n\taway", url=URL)
    assert (str(error), error.problem) == (f"it said: go away ({URL})", "it said: go away")


@pytest.mark.parametrize("status", [408, 418, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_may_be_asked_again(status: int) -> None:
    assert refused(status).transient


@pytest.mark.parametrize("status", [None, 301, 400, 401, 403, 404, 451])
def test_a_refusal_is_final(status: int | None) -> None:
    assert not refused(status).transient


def test_no_answer_may_come_later_and_a_wrong_one_stays_wrong() -> None:
    assert errors.ArchiveUnreachable("gone", url=URL).transient
    assert errors.DatabaseInUse("locked").transient
    assert not errors.UnexpectedAnswer("wrong", url=URL).transient
    assert not errors.StoreError("broken").transient


def test_a_batch_is_worth_another_try_only_if_each_failure_is() -> None:
    assert ArchiveFailures([refused(503), refused(500)], 9).transient
    assert not ArchiveFailures([refused(503), refused(403)], 9).transient


def test_a_batch_lists_three_failures_and_counts_the_rest() -> None:
    failures = ArchiveFailures([ArchiveError(f"p{i}", url=URL) for i in range(5)], 9)
    assert str(failures) == (
        f"5 of 9 symbols failed and nothing was written: p0 ({URL}); p1 ({URL}); p2 ({URL}); and 2 more"
    )
    assert len(failures.failures) == 5


def test_a_short_batch_has_no_rest() -> None:
    assert "more" not in str(ArchiveFailures([ArchiveError("p", url=URL)] * 3, 9))
