"""The cross-check with exchangeInfo: does the table have what the exchange says is traded?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import duckdb

from availability_pipeline.archive.exchange_info import ListedContract, fetch_contracts
from availability_pipeline.errors import ArchiveError, UsageError
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named
from availability_pipeline.symbols import counted
from availability_pipeline.warehouse.writes import complete_days

TARGET_RECALL = 0.95
"""More than this share of the contracts that trade must have a file."""

PUBLICATION_LAG_DAYS = 2
"""Age in days of the newest day that is compared; of yesterday's files some appear only tomorrow."""

LEAST_LISTED = 0.5
"""Share of a day's files below which an answer of the exchange is no list of what it trades."""

_TYPES = {"perpetual": ("PERPETUAL", "TRADIFI_PERPETUAL")}
"""By what a plain name is the name of, the types of contract that have to be there; any if it is none of these."""

_FILES = "SELECT symbol FROM daily_availability WHERE date = ? AND available"

_FILES_BEFORE = "SELECT DISTINCT symbol FROM daily_availability WHERE date BETWEEN ? AND ? AND available"

_RECENT_DAYS = 30
"""Where the newest complete day is looked for first."""

_ALIVE_DAYS = 7
"""A file of one of so many days before shows that a contract was traded, whatever its listing day is said to be."""


@check(asset="daily_availability")
def exchange_info(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """More than 95 % of the contracts that trade, and have had time to be published, have a file (recall).

    Recall and not agreement: contracts that have ended are in the archive and not in exchangeInfo, which is no fault.
    It is taken of the newest collected day that is two days old, because exchangeInfo speaks of today. An exchange
    that does not answer gives a warning that nothing could be evaluated.
    """
    try:
        listed = fetch_contracts(scope.settings).contracts
    except (ArchiveError, UsageError) as error:
        return _not_evaluated(str(error))
    return compare(connection, scope, listed)


def compare(connection: duckdb.DuckDBPyConnection, scope: Scope, listed: Sequence[ListedContract]) -> Verdict:
    """The cross-check with an answer that is at hand."""
    newest = scope.today - dt.timedelta(days=PUBLICATION_LAG_DAYS)
    first = scope.settings.dataset.first_file_day
    recent = complete_days(connection, max(first, newest - dt.timedelta(days=_RECENT_DAYS)), newest)
    complete = recent or complete_days(connection, first, newest)
    if not complete:
        return _not_evaluated(f"no day up to {newest} is collected, and younger ones are not fully published")
    day = complete[-1]
    files = {symbol for (symbol,) in connection.execute(_FILES, [day]).fetchall()}
    if not files and (scope.today - day).days <= PUBLICATION_LAG_DAYS + 1:
        return _not_evaluated(f"nothing is published yet of {day}")
    week = [day - dt.timedelta(days=_ALIVE_DAYS), day - dt.timedelta(days=1)]
    before = {symbol for (symbol,) in connection.execute(_FILES_BEFORE, week).fetchall()}
    trading = {contract.symbol for contract in listed if _is_expected(contract, day, before, scope)}
    if len(trading) < LEAST_LISTED * len(files) or not trading:
        listed_ones = counted(len(trading), "contract")
        return _not_evaluated(
            f"exchangeInfo lists only {listed_ones} that traded on {day}, of {len(files):,} with a file"
        )
    may_trade = {contract.symbol for contract in listed if contract.status in ("TRADING", None)}
    return _compared(day, trading, files, files - may_trade)


def _is_expected(contract: ListedContract, day: dt.date, before: set[str], scope: Scope) -> bool:
    """Whether a contract trades and was listed early enough for the day to be published.

    The listing day that the exchange gives is not certain, so a file of an earlier day counts as well.
    """
    market = scope.settings.dataset.market
    types = _TYPES.get(market.plain_contract)
    return (
        (types is None or contract.contract_type in types)
        and contract.status == "TRADING"
        and contract.symbol.removesuffix(market.perpetual_ending).endswith(scope.settings.tracked_quotes)
        and (contract.symbol in before or (contract.onboard_date is not None and contract.onboard_date < day))
    )


def _compared(day: dt.date, trading: set[str], files: set[str], only_files: set[str]) -> Verdict:
    without_file = sorted(trading - files)
    recall = 1 - len(without_file) / len(trading)
    numbers = {
        "recall": recall,
        "precision": len(files & trading) / len(files) if files else 0.0,
        "trading": len(trading),
        "files": len(files),
        "without_file": len(without_file),
        "not_trading": len(only_files),
    }
    offenders = [
        *({"symbol": symbol, "difference": "trades, has no file"} for symbol in without_file[:SAMPLE]),
        *(
            {"symbol": symbol, "difference": "has a file, does not trade"}
            for symbol in sorted(only_files)[:SAMPLE]
        ),
    ]
    with_file = len(trading) - len(without_file)
    what = f"{with_file:,} of {counted(len(trading), 'contract')} that trade have a file of {day}"
    if recall > TARGET_RECALL:
        return Verdict(
            passed=True, summary=f"{what} (recall {recall:.1%})", numbers=numbers, offenders=offenders
        )
    summary = (
        f"only {what} (recall {recall:.1%}, more than {TARGET_RECALL:.0%} is expected), without one are "
        f"{named(offenders[: len(without_file)], 'symbol', total=len(without_file))}; run `update {day}` to look "
        "again, and see whether the archive is late or a contract is not tracked"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=offenders)


def _not_evaluated(reason: str) -> Verdict:
    summary = f"could not be evaluated: {reason}; the collection does not depend on it"
    return Verdict(passed=False, summary=summary, severity=Severity.WARN)
