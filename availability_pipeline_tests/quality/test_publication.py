"""What a publication would lose, whether readers have what was audited, and what the ledger says."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.errors import PublicationError, StoreError
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.write import publish
from availability_pipeline.quality import publication
from availability_pipeline.quality.check import SAMPLE, Finding, Severity, all_checks
from availability_pipeline.quality.files import changed_files
from availability_pipeline.quality.guard import AvailabilityValidator, publish_checked
from availability_pipeline.quality.publication import equals_working, no_regression
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.quality.table import day, scope_of, settings_of, span, table, write
from availability_pipeline_tests.simulator import ScriptedArchive, serve

DAYS = span("02-01", "02-20")
LIVES = {f"A{number:02}USDT": DAYS for number in range(40)}


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with 40 contracts and 20 days, published; for copies."""
    folder = tmp_path_factory.mktemp("published")
    with table(folder, LIVES, DAYS) as connection:
        publish(connection, settings_of(folder).db_path, "run-1")
    return folder


@pytest.fixture
def published(published_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    sample.copy(published_once, tmp_path)
    return tmp_path


def without(count: int, *days: str) -> dict[str, list[dt.date]]:
    """The lives where the first contracts have lost some days."""
    lost = {day(text) for text in days}
    return {
        name: [each for each in life if number >= count or each not in lost]
        for number, (name, life) in enumerate(LIVES.items())
    }


def regression_after(folder: Path, lives: dict[str, list[dt.date]]) -> Finding:
    with connect(settings_of(folder).working_path) as connection:
        write(connection, lives, DAYS, "run-2")
        return no_regression(connection, scope_of(folder))


def test_nothing_published_cannot_get_worse(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        assert no_regression(connection, scope_of(tmp_path)).passed


@pytest.mark.parametrize(("lost", "passed"), [(0, True), (2, True), (3, False), (40, False)])
def test_a_day_may_lose_five_percent(published: Path, lost: int, passed: bool) -> None:
    finding = regression_after(published, without(lost, "02-10"))
    assert (finding.passed, finding.numbers["fallen_days"]) == (passed, 0 if passed else 1)
    if not passed:
        assert finding.is_error
        assert finding.offenders == [
            {
                "date": day("02-10"),
                "published_files": 40,
                "files_now": 40 - lost,
                "published_rows": 40,
                "rows_now": 40,
            }
        ]
        assert "`backfill --start 2024-02-10 --end 2024-02-10`" in finding.summary


def test_one_file_of_a_small_market_is_no_fall(tmp_path: Path) -> None:
    lives = {"BTCUSDT": DAYS, "ETHUSDT": DAYS}
    with table(tmp_path, lives, DAYS) as connection:
        publish(connection, settings_of(tmp_path).db_path, "run-1")
        write(connection, {**lives, "ETHUSDT": span("02-01", "02-20", "02-07")}, DAYS, "run-2")
        assert no_regression(connection, scope_of(tmp_path)).passed
        write(
            connection,
            {"BTCUSDT": span("02-01", "02-20", "02-07"), "ETHUSDT": span("02-01", "02-20", "02-07")},
            DAYS,
        )
        assert not no_regression(connection, scope_of(tmp_path)).passed


def test_a_day_that_was_never_complete_may_fall(tmp_path: Path) -> None:
    with table(tmp_path, without(30, "02-10"), DAYS) as connection:
        publish(connection, settings_of(tmp_path).db_path, "run-1")
    assert regression_after(tmp_path, without(40, "02-10")).passed


def test_days_that_are_gone_altogether_are_a_fall(published: Path) -> None:
    shutil.rmtree(settings_of(published).working_path.parent)
    with table(published, LIVES, [day("02-21")]) as connection:
        finding = no_regression(connection, scope_of(published))
    assert (finding.numbers["fallen_days"], finding.numbers["lost_files"]) == (20, 800)


def test_a_published_file_that_cannot_be_read_does_not_pass(published: Path) -> None:
    sample.writable(settings_of(published).db_path).write_bytes(b"not a database" * 1000)
    with connect(settings_of(published).working_path) as connection:
        finding = no_regression(connection, scope_of(published))
    assert finding.is_error
    assert finding.summary.startswith("could not be evaluated: ")


def test_a_day_cannot_be_worn_away_in_small_steps(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        for lost in (2, 3):  # 38 of 40, then 37 of 38: neither is a fall
            write(connection, without(lost, "02-10"), DAYS, f"lost-{lost}")
            publish_checked(connection, settings_of(published), f"lost-{lost}")
        # The day is not complete any more beside its neighbours, but it was once.
        write(connection, without(30, "02-10"), DAYS, "lost-30")
        assert no_regression(connection, scope_of(published)).is_error


def test_lost_rows_are_a_fall_however_few(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        connection.execute("DELETE FROM availability WHERE symbol = 'A07USDT' AND date = '2024-02-10'")
        finding = no_regression(connection, scope_of(published))
    assert (finding.is_error, finding.numbers["fallen_days"]) == (True, 1)


def test_readers_that_are_behind_another_run_are_a_warning(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        write(connection, without(1, "02-10"), DAYS, "run-2")
        connection.execute("UPDATE collection_runs SET finished_at = '2999-01-01' WHERE run_id = 'run-2'")
        finding = equals_working(connection, scope_of(published))
    assert (finding.passed, finding.severity) == (False, Severity.WARN)


def test_a_fall_is_not_published_unless_somebody_says_so(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        write(connection, without(20, "02-10"), DAYS, "run-2")
        with pytest.raises(
            PublicationError, match="readers keep the last good generation; no_regression: 1 published day"
        ):
            publish_checked(connection, settings_of(published), "run-3")
        publish_checked(connection, settings_of(published), "run-3", accept_fewer_files=True)
        connection.execute("UPDATE availability SET status_code = 404 WHERE date = '2024-02-01'")
        with pytest.raises(PublicationError, match="row_invariants: 40 contradictions"):
            publish_checked(connection, settings_of(published), "run-3", accept_fewer_files=True)


def test_what_was_published_equals_what_was_audited(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        finding = equals_working(connection, scope_of(published))
    assert finding.passed
    assert finding.numbers == {"working_rows": 800, "published_rows": 800, "differences": 0}


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("SELECT 1", None),
        (
            "DELETE FROM availability WHERE symbol = 'A03USDT' AND date = '2024-02-03'",
            "daily_availability differs",
        ),
        ("UPDATE symbols SET status = 'SETTLING'", "symbols differs"),
    ],
)
def test_the_run_that_has_published_compares_checksum_and_content(
    published: Path, monkeypatch: pytest.MonkeyPatch, change: str, difference: str | None
) -> None:
    monkeypatch.setattr(publication, "differences", lambda *_: ["the whole audit was repeated"])
    if difference is None:  # that nothing has changed is known without reading the published rows
        monkeypatch.delattr(publication, "differences_in_content")
    with connect(settings_of(published).working_path) as connection:
        connection.execute(change)
        own, other = (
            equals_working(connection, scope_of(published, run_id=run)) for run in ("run-1", "run-2")
        )
    assert own.passed == (difference is None)
    assert (difference or "has the 800 rows") in own.summary
    assert "the whole audit was repeated" in other.summary


def test_a_file_without_its_checksum_is_audited_by_the_run_that_has_published_it_too(published: Path) -> None:
    path = settings_of(published).db_file
    with duckdb.connect(sample.writable(path)) as changed:
        changed.execute("UPDATE published_days SET missing = missing + 1")
    with connect(settings_of(published).working_path) as connection:
        finding = equals_working(connection, scope_of(published, run_id="run-1"))
    assert finding.is_error
    assert "published_days does not agree with the rows" in finding.summary


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("DELETE FROM availability WHERE symbol = 'A03USDT' AND date = '2024-02-03'", "799"),
        ("UPDATE availability SET file_size_bytes = 1 WHERE symbol = 'A03USDT'", "file_size_bytes"),
        ("UPDATE symbols SET status = 'SETTLING'", "symbols"),
        ("UPDATE status_spans SET episode = 2 WHERE symbol = 'A03USDT'", "status_spans"),
        ("UPDATE symbol_lifecycle SET days = 2 WHERE symbol = 'A03USDT'", "symbol_lifecycle"),
        ("DROP TABLE symbol_lifecycle", "the working database has no status_spans and symbol_lifecycle yet"),
    ],
)
def test_each_difference_is_named(published: Path, change: str, difference: str) -> None:
    with connect(settings_of(published).working_path) as connection:
        connection.execute(change)
        finding = equals_working(connection, scope_of(published))
    assert finding.is_error
    assert difference in finding.summary
    assert "run `publish`" in finding.summary


def test_what_was_derived_since_is_a_warning(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        connection.execute("UPDATE symbols SET contract = 'settled'")
        derive(connection, Rules())
        finding = equals_working(connection, scope_of(published))
    assert (finding.passed, finding.severity) == (False, Severity.WARN)


def test_readers_without_a_file_are_an_error(tmp_path: Path) -> None:
    with table(tmp_path, LIVES, DAYS) as connection:
        finding = equals_working(connection, scope_of(tmp_path))
    assert finding.is_error
    assert "there is no published database" in finding.summary


def test_late_files_are_no_changed_files(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        write(connection, without(3, "02-10"), DAYS, "gone")
        write(connection, LIVES, DAYS, "back")
        gone, back = (changed_files(connection, scope_of(published, run_id=run)) for run in ("gone", "back"))
        whole = changed_files(connection, scope_of(published))
    assert (gone.passed, gone.severity, gone.numbers["withdrawn"]) == (False, Severity.WARN, 3)
    assert [(row["symbol"], row["kind"]) for row in gone.offenders[:1]] == [("A00USDT", "withdrawn")]
    assert (back.passed, back.numbers["published"]) == (True, 3)
    assert (whole.numbers["withdrawn"], whole.numbers["published"]) == (3, 3)


def test_replaced_files_are_counted_and_sampled(published: Path) -> None:
    with connect(settings_of(published).working_path) as connection:
        connection.execute("UPDATE availability SET file_size_bytes = 1")
        write(connection, LIVES, DAYS, "replaced")
        finding = changed_files(connection, scope_of(published, run_id="replaced"))
    assert (finding.numbers["republished"], len(finding.offenders)) == (800, SAMPLE)
    assert "800 files were replaced" in finding.summary


def test_the_validator_reports_everything(settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(symbols=5, now=dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC))
    with serve(archive) as server:
        settings = settings_for(server)
        with connect(settings.working_path) as connection:
            write(connection, LIVES, DAYS)
            publish(connection, settings.db_path, "run-1")
        report = AvailabilityValidator(settings).run_all_validations()
    checks = {check["name"]: check for check in report["checks"]}
    assert list(checks) == [check.name for check in all_checks()]
    assert checks["equals_working"]["passed"]
    assert report["validation_passed"] is False
    assert (
        report["errors"]
        == sum(not check["passed"] and check["severity"] == "ERROR" for check in report["checks"])
        > 0
    )


def test_the_validator_makes_no_database(settings_for: SettingsFactory) -> None:
    with pytest.raises(StoreError, match="`backfill` makes one"):
        AvailabilityValidator(settings_for()).run_all_validations()
    assert not settings_for().working_path.exists()


def test_the_validator_is_part_of_the_api(monkeypatch: pytest.MonkeyPatch, published: Path) -> None:
    import availability_pipeline  # noqa: PLC0415

    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(published))
    monkeypatch.setenv("AVAILABILITY_FAPI_URL", "http://127.0.0.1:9")
    report = availability_pipeline.quality.guard.AvailabilityValidator().run_all_validations()
    [exchange] = [check for check in report["checks"] if check["name"] == "exchange_info"]
    assert (exchange["passed"], exchange["severity"]) == (False, "WARN")
    with duckdb.connect(settings_of(published).working_path) as connection:  # nothing holds the file any more
        assert connection.execute("SELECT count(*) FROM daily_availability").fetchall() == [(800,)]


@pytest.mark.parametrize("which", ["working", "published"])
def test_a_wrong_block_is_not_blamed_on_the_one_database_of_two(published: Path, which: str) -> None:
    settings = settings_of(published)
    if which == "working":
        spoil_rows(settings.working_path, "availability")
    else:
        spoil_rows(settings.db_file, "availability_by_date")
    with connect(settings.working_path) as connection:
        summary = equals_working(connection, scope_of(published)).summary
    assert (
        f"{settings.db_file} and the working database could not be compared (Corrupt database file" in summary
    )
    assert summary.endswith("; check the disk, and the working database with `validate`")


def spoil_rows(path: Path, relation: str) -> None:
    """Flip a byte in a block that has rows, which opening the database does not read."""
    with duckdb.connect(path, read_only=True) as connection:
        [(block,)] = connection.execute(
            "SELECT max(block_id) FROM pragma_storage_info(?)", [relation]
        ).fetchall()
    content = bytearray(path.read_bytes())
    content[3 * 4096 + block * 262_144 + 1000] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
