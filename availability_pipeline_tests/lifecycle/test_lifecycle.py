"""Episodes: when a contract was listed, when it last traded, whether and why it ended, and since when that is known."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from availability_pipeline.lifecycle.derive import (
    derive,
    derive_if_stale,
    derived_at,
    find_absences,
    fits_rows,
    is_derived,
)
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline_tests.lifecycle.lives import collect, database, day, derived, episodes, statuses

COLUMNS = [
    ("symbol", "VARCHAR"), ("episode", "INTEGER"), ("first_day", "DATE"), ("last_day", "DATE"),
    ("last_trading_day", "DATE"), ("is_open", "BOOLEAN"), ("end_reason", "VARCHAR"), ("known_from", "DATE"),
    ("days", "BIGINT"), ("flat_days", "BIGINT"), ("gaps", "BIGINT"), ("successor", "VARCHAR"),
]  # fmt: skip

FACTS = (
    "first_day", "last_day", "last_trading_day", "is_open", "end_reason", "known_from", "days", "flat_days", "gaps",
)  # fmt: skip

LIVES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "trading": ("..LLLLL", [(2, 6, 6, True, None, None, 5, 0, 0)]),
    "with gaps": ("LL.LL..L", [(0, 7, 7, True, None, None, 5, 0, 2)]),
    "settled": ("LLLLsssssss", [(0, 10, 3, False, "settled", 8, 11, 7, 0)]),
    "perhaps settled": ("LLLLssss", [(0, 7, 7, True, None, None, 8, 0, 0)]),
    "purged": ("LLLL......", [(0, 3, 3, False, "purged", 7, 4, 0, 0)]),
    "settled, then purged": ("LLLsssss......", [(0, 7, 2, False, "settled", 7, 8, 5, 0)]),
    "settled and relisted": (
        "LLsssssLLL",
        [(0, 6, 1, False, "relisted", 6, 7, 5, 0), (7, 9, 9, True, None, None, 3, 0, 0)],
    ),
    "settled, gone for a while, relisted": (
        "LLsssss..LLL",
        [(0, 6, 1, False, "relisted", 6, 7, 5, 0), (9, 11, 11, True, None, None, 3, 0, 0)],
    ),
    "purged and relisted": (
        "LLL....LLL",
        [(0, 2, 2, False, "relisted", 6, 3, 0, 0), (7, 9, 9, True, None, None, 3, 0, 0)],
    ),
    "three times": (
        "LsssssL....L",
        [
            (0, 5, 0, False, "relisted", 5, 6, 5, 0), (6, 6, 6, False, "relisted", 10, 1, 0, 0),
            (11, 11, 11, True, None, None, 1, 0, 0),
        ],
    ),
    "flat from the first file": ("..sssss", [(2, 6, None, False, "settled", 6, 5, 5, 0)]),
    "a gap in the tail": ("LLsssss.ss", [(0, 9, 1, False, "settled", 6, 9, 7, 1)]),
    "never listed": ("......", []),
}  # fmt: skip


@pytest.fixture(scope="module")
def lives() -> duckdb.DuckDBPyConnection:
    return derived({name: life for name, (life, _) in LIVES.items()}, gap=3)


@pytest.mark.parametrize("name", LIVES)
def test_episodes(lives: duckdb.DuckDBPyConnection, name: str) -> None:
    found = episodes(lives, name)
    assert [tuple(episode[fact] for fact in FACTS) for episode in found] == LIVES[name][1]
    assert [episode["episode"] for episode in found] == list(range(1, len(found) + 1))


def test_the_columns_are_as_documented(lives: duckdb.DuckDBPyConnection) -> None:
    described = lives.execute("DESCRIBE symbol_lifecycle").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == COLUMNS
    described = lives.execute("DESCRIBE status_spans").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        ("symbol", "VARCHAR"), ("episode", "INTEGER"), ("status", "VARCHAR"), ("evidence", "VARCHAR"),
        ("first_day", "DATE"), ("last_day", "DATE"), ("known_from", "DATE"),
    ]  # fmt: skip


def test_spans_say_which_episode_they_are_of_and_since_when_they_are_known(
    lives: duckdb.DuckDBPyConnection,
) -> None:
    found = lives.execute(
        "SELECT status, episode, first_day, last_day, known_from FROM status_spans "
        "WHERE symbol = 'settled, gone for a while, relisted' ORDER BY first_day"
    ).fetchall()
    assert found == [
        ("published", 1, day(0), day(1), day(0)),
        ("flat", 1, day(2), day(6), day(6)),
        ("ended", None, day(7), day(8), day(9)),
        ("published", 2, day(9), day(11), day(9)),
    ]


def test_small_days_are_known_to_be_no_end_on_the_next_live_one() -> None:
    found = derived({"AUSDT": "LLssL"}).execute("SELECT first_day, known_from FROM status_spans").fetchall()
    assert found == [(day(0), day(0)), (day(2), day(4)), (day(4), day(4))]


def test_a_settled_folder_knows_its_successor() -> None:
    names = ["ICPUSDT", "ICPUSDT_SETTLED", "AUSDTSETTLED", "AUSDTSETTLEDSETTLED", "GONEUSDTSETTLED"]
    connection = derived(dict.fromkeys(names, "LL"))
    found = dict(connection.execute("SELECT symbol, successor FROM symbol_lifecycle").fetchall())
    assert found == {
        "ICPUSDT": None,
        "ICPUSDT_SETTLED": "ICPUSDT",
        "AUSDTSETTLED": None,
        "AUSDTSETTLEDSETTLED": "AUSDTSETTLED",
        "GONEUSDTSETTLED": None,
    }


def test_absences_are_found_again_after_a_change_only() -> None:
    connection = database()
    collect(connection, {"AUSDT": "LL.LL"})
    first = find_absences(connection, Rules(today=day(30)))
    connection.execute("UPDATE absent_days SET status = 'as it was'")
    assert find_absences(connection, Rules(today=day(30))) == first
    assert connection.execute("SELECT DISTINCT status FROM absent_days").fetchall() == [("as it was",)]
    find_absences(connection, Rules(today=day(31)))
    assert connection.execute("SELECT DISTINCT status FROM absent_days").fetchall() == [("missing",)]
    connection.execute(
        "UPDATE availability SET available = true, file_size_bytes = 50_000, status_code = 200"
    )
    assert find_absences(connection, Rules(today=day(31))) != first
    assert connection.execute("SELECT count(*) FROM absent_days").fetchall() == [(0,)]


def test_absences_are_the_same_whether_small_runs_of_all_contracts_are_found_or_not() -> None:
    connection = database()
    collect(connection, {name: life for name, (life, _) in LIVES.items()})
    found = []
    for every_contract in (True, False):
        find_absences(connection, Rules(3, day(30)), every_contract=every_contract)
        [(runs,)] = connection.execute("SELECT count(DISTINCT symbol) FROM small_runs").fetchall()
        found.append((runs, connection.execute("FROM absent_days ORDER BY ALL").fetchall()))
    (runs_of_all, absences_of_all), (runs, absences) = found
    assert absences == absences_of_all
    assert ("relisted" in {absence for *_, absence, _, _, _ in absences}, runs < runs_of_all) == (True, True)


def test_the_report_counts() -> None:
    connection = database()
    collect(connection, {"AUSDT": "LLLsssssLL.L", "BUSDT": "LL.........."})
    report = derive(connection, Rules(today=day(30)))
    assert (report.episodes, report.symbols, report.open) == (3, 2, 1)
    assert (report.settled, report.purged, report.relisted) == (0, 1, 1)
    assert (report.days, report.flat_days, report.gaps) == (13, 5, 1)
    assert report.spans == 7
    assert report.seconds > 0


def test_an_empty_database_derives_to_nothing() -> None:
    connection = database()
    assert not is_derived(connection)
    assert derive(connection, Rules()).episodes == 0
    assert is_derived(connection)


def test_deriving_again_makes_the_same_and_leaves_nothing_behind() -> None:
    connection = derived({"AUSDT": "LLLsssss..LL.L"})
    tables = "SELECT table_name FROM duckdb_tables() ORDER BY ALL"
    before = [connection.execute(f"FROM {name}").fetchall() for name in ("status_spans", "symbol_lifecycle")]
    names = connection.execute(tables).fetchall()
    derive(connection, Rules(today=day(23)))
    after = [connection.execute(f"FROM {name}").fetchall() for name in ("status_spans", "symbol_lifecycle")]
    assert after == before
    assert connection.execute(tables).fetchall() == names
    assert ("file_days",) not in names


def test_a_derivation_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = derived({"AUSDT": "LLL"})
    connection.execute("DELETE FROM availability WHERE date = ?", [day(2)])
    monkeypatch.setattr("availability_pipeline.lifecycle.derive._INTERMEDIATE", ("no_such_table",))
    with pytest.raises(duckdb.CatalogException):
        derive(connection, Rules())
    assert not fits_rows(connection)
    assert episodes(connection, "AUSDT")[0]["days"] == 3


CHANGES = {
    "a row": ("UPDATE availability SET file_size_bytes = 46000 WHERE date = '2024-01-05'", "pppppuuu"),
    "what the exchange says": ("UPDATE symbols SET contract_type = 'TRADIFI_PERPETUAL'", "pppuuuuu"),
    "a damaged table": ("UPDATE status_spans SET status = 'published'", "pppfffff"),
    "a lost table": ("DROP TABLE symbol_lifecycle", "pppfffff"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tables_are_derived_anew_when_something_changed(change: str) -> None:
    connection, rules = derived({"AUSDT": "LLLsssss"}), Rules(today=day(17))
    statement, expected = CHANGES[change]
    connection.execute(statement)
    derive_if_stale(connection, rules)
    assert statuses(connection, "AUSDT") == expected
    assert is_derived(connection)
    moment = derived_at(connection)
    derive_if_stale(connection, rules)
    assert derived_at(connection) == moment  # and not again


@pytest.mark.parametrize("rules", [Rules(30, day(3)), Rules(1, day(99))], ids=["another day", "another gap"])
def test_tables_are_derived_anew_for_other_rules(rules: Rules) -> None:
    connection = derived({"AUSDT": "LL...L", "BUSDT": "LL...."}, age=10)
    moment = derived_at(connection)
    derive_if_stale(connection, rules)
    assert derived_at(connection) > moment
    assert statuses(connection, "AUSDT") == ("ppwwwp" if rules.episode_gap_days == 30 else "ppeeep")
