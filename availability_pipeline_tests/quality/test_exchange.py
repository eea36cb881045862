"""The cross-check with exchangeInfo: recall of what had time to be published, and never a pass without an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.quality.check import Scope, Severity, Verdict
from availability_pipeline.quality.exchange import compare, exchange_info
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.quality.table import TODAY, Lives, day, listed, scope_of, span, table
from availability_pipeline_tests.simulator import Fault, ScriptedArchive, serve

DAYS = span("02-01", "02-29")
LIVES = {f"A{number:02}USDT": DAYS for number in range(40)}
TRADING = [listed(name) for name in LIVES]


def checked(folder: Path, lives: Lives, contracts: list[ListedContract], last: str = "02-29") -> Verdict:
    with table(folder, {**LIVES, **lives}, [each for each in DAYS if each <= day(last)]) as connection:
        return compare(connection, scope_of(folder), contracts)


def test_everything_that_trades_has_a_file(tmp_path: Path) -> None:
    finding = checked(tmp_path, {}, TRADING)
    assert finding.passed
    assert (finding.numbers["recall"], finding.numbers["precision"], finding.numbers["trading"]) == (
        1.0,
        1.0,
        40,
    )
    assert "of 2024-02-28" in finding.summary  # of the 29th, not all had time to appear by the 1st of March


@pytest.mark.parametrize(("extra", "passed"), [(2, True), (3, False)])
def test_more_than_95_percent_is_needed(tmp_path: Path, extra: int, passed: bool) -> None:
    finding = checked(tmp_path, {}, [*TRADING, *(listed(f"Z{number}USDT") for number in range(extra))])
    assert (finding.passed, finding.severity) == (passed, None)  # None: that of the check, ERROR
    assert finding.numbers["recall"] == pytest.approx(40 / (40 + extra))
    missing = [row["symbol"] for row in finding.offenders if row["difference"] == "trades, has no file"]
    assert missing == [f"Z{number}USDT" for number in range(extra)]


def test_contracts_that_do_not_count(tmp_path: Path) -> None:
    others = [
        listed("SETTLEDUSDT", status="SETTLING"), listed("SOONUSDT", status="PENDING_TRADING"),
        listed("BTCUSDT_240628", kind="CURRENT_QUARTER"), listed("ETHUSDC"), listed("ODDUSDT", kind=""),
        listed("NEWUSDT", onboard="02-28"), listed("NEVERSEENUSDT", onboard=None),
    ]  # fmt: skip
    assert checked(tmp_path, {}, [*TRADING, *others]).numbers["trading"] == 40


def test_stocks_and_metals_count(tmp_path: Path) -> None:
    finding = checked(tmp_path, {}, [*TRADING, listed("TSLAUSDT", kind="TRADIFI_PERPETUAL")])
    assert finding.numbers["trading"] == 41


def test_a_listing_day_that_moved_does_not_hide_a_contract(tmp_path: Path) -> None:
    finding = checked(
        tmp_path, {"LITUSDT": span("02-01", "02-27")}, [*TRADING, listed("LITUSDT", onboard="02-29")]
    )
    assert (finding.numbers["trading"], finding.numbers["without_file"]) == (41, 1)


def test_the_end_of_an_earlier_listing_does_not_either(tmp_path: Path) -> None:
    finding = checked(
        tmp_path, {"LITUSDT": span("02-01", "02-10")}, [*TRADING, listed("LITUSDT", onboard="02-29")]
    )
    assert finding.numbers["trading"] == 40


def test_settled_contracts_lower_precision_and_not_recall(tmp_path: Path) -> None:
    finding = checked(tmp_path, {"FTTUSDT": DAYS}, [*TRADING, listed("FTTUSDT", status="SETTLING")])
    assert finding.passed
    assert (finding.numbers["recall"], finding.numbers["precision"]) == (1.0, pytest.approx(40 / 41))
    assert [row for row in finding.offenders if row["symbol"] == "FTTUSDT"] == [
        {"symbol": "FTTUSDT", "difference": "has a file, does not trade"}
    ]


def test_what_the_exchange_does_not_say_is_neither_expected_nor_missed(tmp_path: Path) -> None:
    unsaid = [listed("FTTUSDT", status=None), listed("TLMUSDT", kind=None), listed("CTKUSDT", onboard=None)]
    finding = checked(tmp_path, {"FTTUSDT": DAYS}, [*TRADING, *unsaid])
    assert (finding.passed, finding.offenders) == (True, [])
    assert finding.numbers["trading"] == 40


def test_a_day_that_is_late_altogether_is_not_judged_yet(tmp_path: Path) -> None:
    with table(tmp_path, {name: span("02-01", "02-27") for name in LIVES}, DAYS) as connection:
        finding = compare(connection, scope_of(tmp_path), TRADING)
        later = compare(connection, scope_of(tmp_path, today=day("03-05")), TRADING)
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert "could not be evaluated: nothing is published yet of 2024-02-28" in finding.summary
    assert (later.passed, later.severity, later.numbers["recall"]) == (False, None, 0.0)


def test_without_a_day_that_is_old_enough_nothing_passes(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, [day("02-29")]) as connection:
        finding = compare(connection, scope_of(tmp_path), TRADING)
    assert (finding.passed, finding.severity) == (False, Severity.WARN)


def test_an_answer_with_hardly_a_contract_is_no_pass(tmp_path: Path) -> None:
    finding = checked(tmp_path, {}, TRADING[:1])
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert "lists only 1 contract" in finding.summary


def test_a_day_that_was_collected_in_part_is_not_judged(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        connection.execute("DELETE FROM availability WHERE date = '2024-02-28' AND symbol > 'A05'")
        finding = compare(connection, scope_of(tmp_path), TRADING)
    assert finding.passed
    assert "of 2024-02-27" in finding.summary


def test_an_answer_without_a_contract_is_no_pass(tmp_path: Path) -> None:
    assert not checked(tmp_path, {}, []).passed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.status(451), "HTTP 451"),
        (Fault.status(418), "HTTP 418"),
        (Fault.status(429), "HTTP 429"),
        (Fault.hang(), "no answer within 1 s"),
        (Fault.html(), "the answer is not an exchangeInfo"),
        (Fault.reset(), "the connection failed"),
    ],
    ids=["451", "418", "429", "time-out", "maintenance page", "reset"],
)
def test_an_exchange_that_does_not_answer_is_a_warning(
    tmp_path: Path, settings_for: SettingsFactory, fault: Fault, reason: str
) -> None:
    with serve(ScriptedArchive.empty()) as server, table(tmp_path / "data", LIVES, DAYS) as connection:
        server.faults.inject(fault, on="EXCHANGE_INFO")
        settings = settings_for(server, timeout_seconds=1)
        finding = exchange_info(connection, Scope(settings, today=TODAY))
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert finding.summary.startswith("could not be evaluated: ")
    assert reason in finding.summary
    assert finding.numbers == {}
