"""The Python API: every answer equals what a plain loop over the sample's content gives, and wrong questions are named.

The published file is a real one, made by the store and the publication.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import availability_pipeline
from availability_pipeline import (
    AvailabilityQueries,
    IncompleteDayWarning,
    PublishedDatabaseError,
    UsageError,
)
from availability_pipeline.queries.columns import COLUMNS
from availability_pipeline_tests.publishing import sample

FILES = sample.sample_files()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.copy_published(tmp_path_factory.mktemp("queries")).path


@pytest.fixture(scope="module")
def queries(path: Path) -> Iterator[AvailabilityQueries]:
    with AvailabilityQueries(path) as queries:
        yield queries


def expected_range(start: dt.date, end: dt.date) -> list[dict[str, Any]]:
    return [
        sample.expected_row(day, symbol, FILES)
        for day in sample.DAYS
        for symbol in sorted(sample.SPANS)
        if (day, symbol) in FILES and start <= day <= end
    ]


def expected_timeline(symbol: str) -> list[dict[str, Any]]:
    first = min((day for day, name in FILES if name == symbol), default=dt.date.max)
    return [sample.expected_row(day, symbol, FILES) for day in sample.DAYS if day >= first]


@pytest.mark.parametrize("day", sample.DAYS)
def test_a_snapshot_is_the_contracts_with_a_file_on_that_day(
    queries: AvailabilityQueries, day: dt.date
) -> None:
    assert queries.get_available_symbols_on_date(day) == expected_range(day, day)
    assert queries.get_available_symbols_on_date(str(day)).arrow().to_pylist() == expected_range(day, day)


@pytest.mark.parametrize("symbol", sample.SPANS)
def test_a_timeline_is_every_day_since_the_first_file(queries: AvailabilityQueries, symbol: str) -> None:
    assert queries.get_symbol_availability_timeline(symbol) == expected_timeline(symbol)
    assert queries.get_symbol_availability_timeline(symbol).arrow().to_pylist() == expected_timeline(symbol)


@given(st.data())
def test_a_range_is_every_file_of_its_days(queries: AvailabilityQueries, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(sample.DAYS))
    end = data.draw(st.sampled_from([day for day in sample.DAYS if day >= start]))
    assert queries.get_availability_range(start, str(end)) == expected_range(start, end)
    assert queries.get_availability_range(start, end).arrow().to_pylist() == expected_range(start, end)


def test_rows_and_arrow_have_the_documented_columns_in_order(queries: AvailabilityQueries) -> None:
    day = sample.DAYS[25]
    assert tuple(queries.get_available_symbols_on_date(day)[0]) == COLUMNS
    assert tuple(queries.get_available_symbols_on_date(day).arrow().column_names) == COLUMNS
    assert tuple(queries.get_symbol_availability_timeline("BTCUSDT").arrow().column_names) == COLUMNS


@pytest.mark.parametrize("name", ["btcusdt", " BtcUsdt ", "币安人生usdt", "icpusdt_settled"])
def test_case_does_not_matter(queries: AvailabilityQueries, name: str) -> None:
    assert queries.get_symbol_availability_timeline(name) == expected_timeline(name.strip().upper())


def test_other_questions_in_between_do_not_cut_an_iteration_off(
    queries: AvailabilityQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("availability_pipeline.queries.reader.ROWS_AT_ONCE", 10)
    rows = queries.get_availability_range(sample.FIRST_DAY, sample.LAST_DAY).stream()
    seen = [next(rows)]
    queries.get_symbol_availability_timeline("BTCUSDT")
    assert seen + list(rows) == expected_range(sample.FIRST_DAY, sample.LAST_DAY)


WRONG_DAYS = {
    "2024-01-09": "there is no data of 2024-01-09; the published database has 2024-01-10 to 2024-03-19",
    "2024-03-20": "there is no data of 2024-03-20; the published database has 2024-01-10 to 2024-03-19",
    "2024-02-30": "date is '2024-02-30', which is not a day; write it as 2024-01-15",
    "monday": "date is 'monday', which is not a day; write it as 2024-01-15",
}


@pytest.mark.parametrize("day", WRONG_DAYS)
def test_a_day_without_data_is_a_usage_error(queries: AvailabilityQueries, day: str) -> None:
    with pytest.raises(UsageError) as caught:
        queries.get_available_symbols_on_date(day)
    assert str(caught.value) == WRONG_DAYS[day]


def test_a_range_must_not_end_before_it_starts(queries: AvailabilityQueries) -> None:
    with pytest.raises(UsageError, match="the start 2024-02-02 is after the end 2024-02-01"):
        queries.get_availability_range("2024-02-02", "2024-02-01")


WRONG_SYMBOLS = {
    "BTCUST": "no contract is called 'BTCUST'; similar names: BTCUSDT",
    "?": "no contract is called '?'",
    "btcbusd": "BTCBUSD is in the archive, but it is not tracked, so there is no data of it",
    "x' OR '1'='1": "no contract is called \"x' OR '1'='1\"",
}


@pytest.mark.parametrize("symbol", WRONG_SYMBOLS)
def test_an_unknown_symbol_is_a_usage_error_with_similar_names(
    queries: AvailabilityQueries, symbol: str
) -> None:
    with pytest.raises(UsageError) as caught:
        queries.get_symbol_availability_timeline(symbol)
    assert str(caught.value).startswith(WRONG_SYMBOLS[symbol])


def test_a_day_that_was_not_collected_is_never_an_empty_answer(tmp_path: Path) -> None:
    path = sample.publish_sample(tmp_path, days=[sample.DAYS[0], sample.DAYS[9]]).path
    with AvailabilityQueries(path) as queries:
        assert len(queries.get_available_symbols_on_date(sample.DAYS[9])) == 2
        with pytest.raises(UsageError, match=r"2024-01-11 was never collected; run `.* --start 2024-01-11"):
            queries.get_availability_range(sample.DAYS[0], sample.DAYS[9])


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AvailabilityQueries]:
    """The sample, with two contracts on its last day but two, one on its last, and all on the day between."""
    only = {sample.DAYS[-3]: ["BTCUSDT", "ETHUSDT"], sample.DAYS[-1]: ["BTCUSDT"]}
    with AvailabilityQueries(sample.publish_incomplete(tmp_path_factory.mktemp("few"), only)) as queries:
        yield queries


COMMAND = "`binance-futures-availability backfill --start"


def test_a_day_of_some_contracts_only_is_answered_with_a_warning(incomplete: AvailabilityQueries) -> None:
    day = sample.DAYS[-3]
    sentence = f"{day} is collected for only 2 of 6 contracts; {COMMAND} {day} --end {day}` completes it"
    asks = (
        lambda: incomplete.get_available_symbols_on_date(day),
        lambda: incomplete.get_available_symbols_on_date(day).arrow().to_pylist(),
        lambda: incomplete.get_availability_range(day, sample.DAYS[-2])[:2],
    )
    for ask in asks:
        with pytest.warns(IncompleteDayWarning) as caught:
            assert [row["symbol"] for row in ask()] == ["BTCUSDT", "ETHUSDT"]
        assert [str(warning.message) for warning in caught] == [sentence]
        assert [warning.filename for warning in caught] == [__file__]


def test_a_range_with_such_days_says_how_many_and_names_the_first(incomplete: AvailabilityQueries) -> None:
    first, last = sample.DAYS[-3], sample.DAYS[-1]
    sentence = (
        f"2 days are collected for some contracts only, the first of them, {first}, for only 2 of 6 contracts; "
        f"{COMMAND} {first} --end {last}` completes them"
    )
    asks = (
        incomplete.get_availability_range,
        incomplete.availability_matrix,
        incomplete.universe_history,
    )
    for ask in asks:
        with pytest.warns(IncompleteDayWarning) as caught:
            ask(sample.DAYS[0], last)
        assert [str(warning.message) for warning in caught] == [sentence]
        assert [warning.filename for warning in caught] == [__file__]


def test_a_matrix_has_nothing_where_nobody_asked(incomplete: AvailabilityQueries) -> None:
    first, last = sample.DAYS[-3], sample.DAYS[-1]
    with pytest.warns(IncompleteDayWarning):
        matrix = incomplete.availability_matrix(first, last).arrow().to_pydict()
    assert matrix["date"] == sample.DAYS[-3:]
    assert matrix["BTCUSDT"] == [True, True, False]
    assert matrix["ETHUSDT"] == [True, True, None]
    assert matrix["ICPUSDT_SETTLED"] == [None, False, None]
    assert "NEWUSDT" not in matrix


def test_a_universe_has_no_contract_that_nobody_asked_for(incomplete: AvailabilityQueries) -> None:
    with pytest.warns(IncompleteDayWarning):
        table = incomplete.universe_history(sample.DAYS[-3], sample.DAYS[-1])
    with pytest.warns(IncompleteDayWarning):
        one_by_one = [incomplete.get_universe(day) for day in sample.DAYS[-3:]]
    members = [[row["symbol"] for row in rows] for rows in one_by_one]
    assert members == [["BTCUSDT", "ETHUSDT"], ["BTCUSDT", "ETHUSDT", "币安人生USDT"], []]
    assert [row["symbol"] for row in table] == [symbol for day in members for symbol in day]


def test_complete_days_are_answered_without_a_warning(incomplete: AvailabilityQueries) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        incomplete.get_available_symbols_on_date(sample.DAYS[-2])
        incomplete.get_availability_range(sample.DAYS[0], sample.DAYS[-4])
        incomplete.get_availability_range(sample.DAYS[0], sample.DAYS[-4]).arrow()


def test_a_status_is_through_the_last_day_of_all_contracts(incomplete: AvailabilityQueries) -> None:
    status = incomplete.get_status()
    assert (status.complete_through, status.publication.data_through) == (sample.DAYS[-2], sample.DAYS[-1])


def test_contracts_that_are_no_longer_tracked_are_not_missed(tmp_path: Path) -> None:
    day, others = sample.DAYS[-1], sorted(set(sample.SPANS) - {"LUNAUSDT"})
    sample.publish_incomplete(tmp_path, {day: others})
    with sample.working_database(tmp_path) as working:
        working.execute("UPDATE symbols SET tracked = false WHERE symbol = 'LUNAUSDT'")
    with AvailabilityQueries(sample.republish(tmp_path)) as queries:
        assert queries.get_status().complete_through == day
        queries.get_available_symbols_on_date(day)


def test_a_reload_sees_that_a_day_was_completed(tmp_path: Path) -> None:
    day = sample.DAYS[-1]
    with AvailabilityQueries(sample.publish_incomplete(tmp_path, {day: ["BTCUSDT"]})) as queries:
        with pytest.warns(IncompleteDayWarning):
            queries.get_available_symbols_on_date(day)
        sample.publish_sample(tmp_path, FILES)
        assert queries.reload()
        assert queries.get_available_symbols_on_date(day) == expected_range(day, day)


def test_a_status_says_how_far_the_data_goes_and_what_is_awaited(queries: AvailabilityQueries) -> None:
    status = queries.get_status()
    assert (status.publication.first_day, status.publication.data_through) == (
        sample.FIRST_DAY,
        sample.LAST_DAY,
    )
    assert status.complete_through == sample.LAST_DAY
    assert status.publication.file_count == len(FILES)
    assert status.pending == [
        {"date": sample.LAST_DAY, "file_count": 1, "pending_count": 2},
        {"date": sample.DAYS[-2], "file_count": 3, "pending_count": 0},
        {"date": sample.DAYS[-3], "file_count": 3, "pending_count": 0},
    ]
    assert [(run["run_id"], run["mode"], run["rows_written"]) for run in status.runs] == [
        ("run-1", "list", 420)
    ]


def test_a_day_without_any_file_is_wholly_pending(tmp_path: Path) -> None:
    files = {key: value for key, value in FILES.items() if key[0] < sample.DAYS[-2]}
    with AvailabilityQueries(sample.publish_sample(tmp_path, files).path) as queries:
        status = queries.get_status()
    assert status.publication.last_file_day == sample.DAYS[-3]
    assert [day["pending_count"] for day in status.pending] == [3, 3, 0]


def test_a_first_day_without_files_has_nothing_pending(tmp_path: Path) -> None:
    with AvailabilityQueries(sample.publish_sample(tmp_path, {}, sample.DAYS[:1]).path) as queries:
        status = queries.get_status()
        assert queries.get_symbol_availability_timeline("BTCUSDT") == []
    assert status.publication.last_file_day is None
    assert status.pending == [{"date": sample.FIRST_DAY, "file_count": 0, "pending_count": 0}]


def test_a_reader_keeps_its_file_until_it_reloads(tmp_path: Path) -> None:
    day = sample.DAYS[25]
    new_files = sample.sample_files(seed=2)
    with AvailabilityQueries(sample.copy_published(tmp_path).path) as reader:
        before = reader.get_available_symbols_on_date(day)
        assert reader.reload() is False
        rows = reader.get_availability_range(sample.FIRST_DAY, sample.LAST_DAY).stream()
        first = next(rows)
        sample.publish_sample(tmp_path, new_files)
        assert [first, *rows] == expected_range(sample.FIRST_DAY, sample.LAST_DAY)
        assert reader.get_available_symbols_on_date(day) == before
        with AvailabilityQueries(reader.path) as other:
            sizes = [row["file_size_bytes"] for row in other.get_available_symbols_on_date(day)]
        assert sizes == [
            new_files[day, symbol][0] for symbol in sorted(sample.SPANS) if (day, symbol) in new_files
        ]
        assert reader.reload() is True
        assert (
            [row["file_size_bytes"] for row in reader.get_available_symbols_on_date(day)] == sizes != before
        )


def test_a_reload_forgets_the_universe_of_before(tmp_path: Path) -> None:
    day = sample.DAYS[25]
    without = {key: value for key, value in FILES.items() if key[1] != "LUNAUSDT"}
    with AvailabilityQueries(sample.copy_published(tmp_path).path) as reader:
        before = [row["symbol"] for row in reader.get_universe(day)]
        sample.publish_sample(tmp_path, without)
        assert [row["symbol"] for row in reader.get_universe(day)] == before
        assert reader.reload()
        assert [row["symbol"] for row in reader.get_universe(day)] == [
            symbol for symbol in before if symbol != "LUNAUSDT"
        ]
        assert "LUNAUSDT" in before


def test_the_default_is_the_database_of_the_settings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", str(path))
    with AvailabilityQueries() as queries:
        assert queries.path == path


def test_the_file_is_not_changed_by_reading(path: Path) -> None:
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    beside = sorted(path.parent.iterdir())
    with AvailabilityQueries(str(path)) as queries:
        queries.get_status()
        with pytest.raises(duckdb.Error, match="read-only"):
            queries._connection._duckdb.execute("DELETE FROM published.symbols")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, modified)
    assert sorted(path.parent.iterdir()) == beside


def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    message = (
        f"there is no published database {tmp_path}/none.duckdb; run `binance-futures-availability backfill` "
    )
    with pytest.raises(PublishedDatabaseError, match=message):
        AvailabilityQueries(tmp_path / "none.duckdb")


def _damaged(path: Path, folder: Path, damage: str) -> Path:
    other = folder / "other.duckdb"
    if damage == "text":
        other.write_text("date,symbol\n" * 5_000)
    elif damage == "folder":
        other.mkdir()
    else:
        shutil.copyfile(path, other)
        if damage == "cut":
            os.truncate(other, 30_000)
        else:
            with duckdb.connect(other) as database:
                database.execute(damage)
    return other


DAMAGES = {
    "text": "is damaged or not a DuckDB database (",
    "folder": "cannot be read (Is a directory); correct the path",
    "cut": "is damaged or not a DuckDB database (",
    "ALTER TABLE publication ALTER schema_version TYPE VARCHAR": "states the schema version '6', which is none;",
    "UPDATE publication SET schema_version = 7":
        "has schema version 7, and this program knows only 6; upgrade binance-futures-availability",
    "DROP TABLE publication": "is a DuckDB database of something else; set AVAILABILITY_DB_PATH",
    "DELETE FROM publication": "says nothing about itself",
    "DROP TABLE published_days": "cannot be read (Catalog Error",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_one_sentence(path: Path, tmp_path: Path, damage: str) -> None:
    other = _damaged(path, tmp_path, damage)
    with pytest.raises(PublishedDatabaseError) as caught:
        AvailabilityQueries(other)
    assert DAMAGES[damage] in str(caught.value)
    assert str(other) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_another_program_writes_to_is_named(path: Path, tmp_path: Path) -> None:
    other = Path(shutil.copyfile(path, tmp_path / "other.duckdb"))
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(other)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(PublishedDatabaseError, match=r"other\.duckdb is open for writing elsewhere"):
            AvailabilityQueries(other)
        writer.communicate()


def _run(program: str, path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_the_machines_time_zone_changes_nothing(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from availability_pipeline import AvailabilityQueries\n"
        "from availability_pipeline_tests.publishing import sample\n"
        "made = sample.publish_sample(Path(sys.argv[1])).path\n"
        "with AvailabilityQueries(made) as queries:\n"
        "    days = (sample.FIRST_DAY, sample.LAST_DAY)\n"
        "    rows = queries.get_availability_range(*days)\n"
        "    assert rows == queries.get_availability_range(*days).arrow().to_pylist()\n"
        "    print(json.dumps(rows, default=str))"
    )
    expected = expected_range(sample.FIRST_DAY, sample.LAST_DAY)
    assert json.loads(_run(program, tmp_path, TZ="Asia/Tokyo")) == json.loads(
        json.dumps(expected, default=str)
    )


def test_the_api_loads_neither_dagster_nor_the_network(path: Path) -> None:
    program = (
        "import sys\n"
        "import availability_pipeline\n"
        "assert 'duckdb' not in sys.modules\n"
        "queries = availability_pipeline.AvailabilityQueries(sys.argv[1])\n"
        "queries.get_symbol_availability_timeline('BTCUSDT')\n"
        "heavy = {'dagster', 'boto3', 'botocore', 'requests', 'click', 'rich', 'pyarrow'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert _run(program, path) == "[]\n"


def test_the_package_exports_what_it_names() -> None:
    for name in availability_pipeline.__all__:
        assert getattr(availability_pipeline, name) is not None
    assert dir(availability_pipeline) == sorted(availability_pipeline.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        availability_pipeline.nothing  # noqa: B018 - the access is the test


def test_after_closing_there_are_no_answers_and_no_blame_on_the_file(path: Path) -> None:
    opened = AvailabilityQueries(path)
    opened.close()
    opened.close()
    opened_before = AvailabilityQueries(path)
    opened_before.get_universe(sample.DAYS[3])
    opened_before.close()
    questions = (
        opened.get_status,
        opened.reload,
        opened.get_gaps,
        lambda: opened.sql("SELECT 1"),
        lambda: opened_before.get_universe(sample.DAYS[3]),
    )
    for question in questions:
        with pytest.raises(UsageError, match=r"is closed; open another one"):
            question()


@pytest.mark.parametrize("value", [None, 5, b"BTCUSDT"])
def test_what_is_no_string_is_no_contract(queries: AvailabilityQueries, value: Any) -> None:
    with pytest.raises(UsageError, match=r"the contract is .*, but it must be a string"):
        queries.get_symbol_availability_timeline(value)


def test_a_summary_has_the_bounds_of_the_data(queries: AvailabilityQueries) -> None:
    first, last = sample.FIRST_DAY, sample.LAST_DAY
    assert len(queries.get_availability_summary(first, last)) == len(queries.get_availability_summary())
    with pytest.raises(UsageError, match="is after the end"):
        queries.get_availability_summary(last, first)
    with pytest.raises(
        UsageError, match=f"there is no data of 2030-01-01; the published database has {first}"
    ):
        queries.get_availability_summary(end="2030-01-01")


def test_a_database_of_sqlite_is_told_without_the_network(tmp_path: Path) -> None:
    path = tmp_path / "availability.duckdb"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE publication (schema_version INTEGER)")
        other.commit()
    with pytest.raises(PublishedDatabaseError, match="not a DuckDB database"):
        AvailabilityQueries(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PublishedDatabaseError, match="pipe is not a file"):
        AvailabilityQueries(tmp_path / "pipe")


@pytest.mark.parametrize("symbols", [(), ("BTCUSDT", "ETHUSDT")])
def test_reloading_and_closing_leave_results_alone(
    path: Path, symbols: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("availability_pipeline.queries.reader.ROWS_AT_ONCE", 10)
    opened = AvailabilityQueries(path)
    ends = (sample.FIRST_DAY, sample.LAST_DAY)
    expected = opened.get_availability_range(*ends, symbols)
    result = opened.get_availability_range(*ends, symbols)
    rows = result.stream()
    first = next(rows)
    opened.reload()
    assert [first, *rows] == expected
    opened.close()
    assert result == expected
    assert result.arrow().to_pylist() == expected


def test_questions_of_several_threads_do_not_take_each_others_answers(queries: AvailabilityQueries) -> None:
    expected = [expected_range(day, day) for day in sample.DAYS]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(queries.get_available_symbols_on_date, sample.DAYS * 10))
    assert found == expected * 10
