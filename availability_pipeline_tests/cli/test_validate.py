"""`validate` and `query changes`: the same findings as the checks of a run, and an exit code to build upon."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.cli.main import cli
from availability_pipeline.dates import DayRange
from availability_pipeline.publishing.write import publish
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import CHANGE_COLUMNS
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.quality.table import settings_of, write

YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
DAYS = list(DayRange(DEFAULT_DATASET.first_day, YESTERDAY))
LIVES = {"BTCUSDT": DAYS[97:], "ETHUSDT": DAYS[500:]}  # the first files of the market are those of day 97


def run(folder: Path, *arguments: str) -> Result:
    environment = {"AVAILABILITY_DATA_DIR": str(folder), "AVAILABILITY_FAPI_URL": "http://127.0.0.1:9"}
    return CliRunner(env=environment).invoke(cli, list(arguments), catch_exceptions=False)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete history of two contracts, published; for copies."""
    folder = tmp_path_factory.mktemp("complete")
    with connect(settings_of(folder).working_path) as connection:
        write(connection, LIVES, DAYS)
        publish(connection, settings_of(folder).db_path, "run-1")
    return folder


@pytest.fixture
def sound(complete: Path, tmp_path: Path) -> Path:
    sample.copy(complete, tmp_path)
    return tmp_path


def damaged(folder: Path) -> Path:
    with connect(settings_of(folder).working_path) as connection:
        connection.execute("DELETE FROM availability WHERE symbol = 'ETHUSDT' AND date = '2024-02-10'")
    return folder


def test_sound_data_passes(sound: Path) -> None:
    result = run(sound, "validate", "--format", "json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["validation_passed"], report["errors"]) == (0, True, 0)
    # Nobody answers for exchangeInfo here, which is a warning and no failure.
    assert [check["name"] for check in report["checks"] if not check["passed"]] == [
        "exchange_info",
        "volume_completeness",  # no bars were read
    ]
    assert report["warnings"] == 2


def test_wrong_data_fails_with_exit_code_1_and_says_what_to_do(sound: Path) -> None:
    result = run(damaged(sound), "validate", "--format", "table")
    assert result.exit_code == 1
    lines = {line.split()[1]: line for line in result.stdout.splitlines()[:-1]}
    assert lines["continuity"].startswith("ERROR")
    assert "1 row of 1 contract" in lines["continuity"]
    assert "`backfill --start 2024-02-10`" in lines["continuity"]
    assert lines["gaps"].startswith("ok")
    # The derived tables are of the rows before, so nothing can be said of them.
    assert "run `publish`" in lines["every_file_has_an_episode"]
    assert result.stdout.splitlines()[-1] == "8 checks passed, 5 warned, 4 failed"


def test_a_report_has_days_and_counts_as_json(sound: Path) -> None:
    report = json.loads(run(damaged(sound), "validate", "--format", "json").stdout)
    continuity = next(check for check in report["checks"] if check["name"] == "continuity")
    assert continuity["numbers"]["missing_rows"] == 1
    assert continuity["offenders"] == [{
        "symbol": "ETHUSDT", "missing_days": 1, "duplicates": 0, "first_missing_day": "2024-02-10",
        "last_missing_day": "2024-02-10",
    }]  # fmt: skip


def test_without_a_database_it_is_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, "validate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "`backfill` makes one" in result.stderr


@pytest.mark.parametrize(
    "content", [b"nonsense\n", "symbol,first_day,last_day,reason\nSOLUSDT,ü".encode("latin-1")]
)
def test_a_list_of_gaps_that_is_not_understood_fails_the_checks_that_need_it(
    sound: Path, content: bytes
) -> None:
    (sound / "known_gaps.csv").write_bytes(content)
    result = run(sound, "validate", "--format", "json")
    failed = {
        check["name"]: check["summary"]
        for check in json.loads(result.stdout)["checks"]
        if not check["passed"]
    }
    assert (result.exit_code, failed.keys()) == (
        1,
        {"completeness", "gaps", "exchange_info", "volume_completeness"},
    )
    assert "known_gaps.csv" in failed["gaps"]


@pytest.fixture(scope="module")
def changed(complete: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after two files were withdrawn and one came back; no test may change it."""
    folder, days = tmp_path_factory.mktemp("changed"), DAYS[-3:]
    sample.copy(complete, folder)
    with connect(settings_of(folder).working_path) as connection:
        write(connection, {"BTCUSDT": [], "ETHUSDT": days[1:]}, days, "gone")
        write(connection, {"BTCUSDT": days[:1], "ETHUSDT": days[1:]}, days, "back")
        publish(connection, settings_of(folder).db_path, "run-2")
    return folder


def test_changes_are_what_the_ledger_has(changed: Path) -> None:
    result = run(changed, "query", "changes", "--format", "json")
    rows = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(rows[0]) == list(CHANGE_COLUMNS)
    told = [(row["kind"], row["symbol"], row["date"], row["run_id"]) for row in rows]
    day = [str(day) for day in DAYS[-3:]]
    assert sorted(told) == sorted(
        [*(("withdrawn", "BTCUSDT", each, "gone") for each in day), ("withdrawn", "ETHUSDT", day[0], "gone"),
         ("published", "BTCUSDT", day[0], "back")]
    )  # fmt: skip
    with AvailabilityQueries(settings_of(changed).db_path) as queries:
        assert len(queries.get_changes()) == queries.get_changes().arrow().num_rows == 5
        assert list(queries.get_changes().arrow().column_names) == list(CHANGE_COLUMNS)


@pytest.mark.parametrize(("since", "count"), [("2024-03-01", 5), ("2024-03-02", 0)])
def test_changes_since_a_day(changed: Path, since: str, count: int) -> None:
    # The sample's collections are dated 2024-03-01.
    assert (
        len(json.loads(run(changed, "query", "changes", "--since", since, "--format", "json").stdout))
        == count
    )
    table = run(changed, "query", "changes", "--since", since, "--format", "table").stdout
    assert table.startswith(f"{count} changes since {since}")


def test_a_wrong_since_is_wrong_usage(changed: Path) -> None:
    result = run(changed, "query", "changes", "--since", "soon")
    assert result.exit_code == 2
    assert "--since is 'soon', which is not a day" in result.stderr
