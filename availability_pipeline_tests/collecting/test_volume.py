"""Daily bars from monthly and daily files: whatever is read in whatever order, the table has what the files say.

The truth is read from the bodies of the simulated archive's files, by a reader of its own.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import io
import itertools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from availability_pipeline.archive.batch import Progress
from availability_pipeline.collecting.volume import (
    Volume,
    collect_volume,
    last_day_of,
    plan_volume,
    stretches,
)
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveFailures, UsageError
from availability_pipeline.settings import Settings
from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.listing import KeyNames
from availability_pipeline.simulator.shape import day_number
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.volume import write_volume
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime.fromisoformat("2024-03-10 12:00")
LAST = dt.date(2024, 3, 9)
DAYS = DayRange(dt.date(2023, 12, 20), LAST)
NUMBERS = (1, 2, 3, 4, 5, 7, 8, 9, 10)
"""Columns of a file in the order of the table."""


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2024-{text}")


def make_archive() -> ScriptedArchive:
    archive = ScriptedArchive.empty(NOW)
    archive.add_symbol("LIVEUSDT", dt.date(2021, 6, 1))
    archive.add_symbol("NEWUSDT", day("02-25"))
    archive.add_symbol("ENDEDUSDT", dt.date(2023, 1, 1), day("01-20"))
    archive.add_symbol("HOLEUSDT", day("01-10"))
    archive.add_symbol("龙虾USDT", day("03-03"))
    for number in (11, 12, 30):
        archive.remove_file("HOLEUSDT", day(f"01-{number}"))
    return archive


@pytest.fixture
def archive() -> ScriptedArchive:
    return make_archive()


@pytest.fixture
def server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running:
        yield running


@pytest.fixture
def settings(server: ObservedServer, settings_for: SettingsFactory) -> Settings:
    made = settings_for(server)
    pipeline.discover(made)
    return made


def read(settings: Settings, days: DayRange, only: Sequence[str] = ()) -> Volume:
    """Read and write the bars of some days."""
    with connect(settings.working_path) as connection:
        plan = plan_volume(connection, days, only)
    found = collect_volume(plan, settings, Progress())
    with connect(settings.working_path) as connection:
        write_volume(connection, found.files, found.bars)
    return found


def bars(settings: Settings, days: DayRange = DAYS) -> list[pipeline.Row]:
    return [
        row
        for row in pipeline.query(
            settings, "SELECT * EXCLUDE (file_last_modified) FROM daily_volume ORDER BY date, symbol"
        )
        if row[0] in days
    ]


def rows_in(archive: SimulatedArchive, symbol: str, first: dt.date) -> dict[dt.date, tuple[float, ...]]:
    """The bars of a visible file, or none."""
    folder, files = archive.folder(symbol), archive.visible(symbol)
    at = files.index(day_number(first)) if files else None
    if folder is None or files is None or at is None:
        return {}
    body = folder.body(KeyNames(archive.dataset).file_name(symbol, files.days[at]), files, at)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            text = packed.read(packed.namelist()[0]).decode()
    except zipfile.BadZipFile:
        return {}
    rows = [row for row in csv.reader(io.StringIO(text)) if row[0].isdigit()]
    return {
        dt.datetime.fromtimestamp(int(row[0]) / 1000, dt.UTC).date(): tuple(float(row[at]) for at in NUMBERS)
        for row in rows
    }


def truth(archive: ScriptedArchive, days: DayRange = DAYS) -> list[pipeline.Row]:
    """The rows that the table should have."""
    found = []
    for symbol in archive.symbols():
        for each in days:
            of_month = rows_in(archive.monthly_bars, symbol, each.replace(day=1))
            of_day = rows_in(archive.daily_bars, symbol, each)
            source = "monthly" if each in of_month else "daily"
            bar = of_month.get(each) or of_day.get(each)
            if bar:
                found.append((each, symbol, *bar, source))
    return sorted(found)


def gets(server: ObservedServer) -> list[str]:
    return [record.path.rpartition("/")[2] for record in server.requests if record.kind == "GET"]


def test_months_that_are_over_come_from_monthly_files_and_other_days_from_daily_ones(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    read(settings, DAYS)
    found = bars(settings)
    assert found == truth(archive)
    assert {(row[0] < day("03-01"), row[-1]) for row in found} == {(True, "monthly"), (False, "daily")}
    assert len(gets(server)) == len(set(gets(server))) < 60
    assert ("HOLEUSDT", day("01-11")) not in {(row[1], row[0]) for row in found}


def test_what_was_read_is_not_read_again(server: ObservedServer, settings: Settings) -> None:
    read(settings, DAYS)
    before = pipeline.query(settings, "FROM daily_volume ORDER BY ALL")
    server.requests.clear()
    assert read(settings, DAYS).files.num_rows == 0
    read(settings, DayRange(LAST, LAST))
    assert gets(server) == [f"ENDEDUSDT-1d-{LAST}.zip"]  # which is not there
    assert pipeline.query(settings, "FROM daily_volume ORDER BY ALL") == before


def test_one_day_is_asked_for_file_by_file_and_gives_the_same_rows(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    server.requests.clear()
    with clock_at(NOW.replace(tzinfo=dt.UTC), server):
        read(settings, DayRange(LAST, LAST))
    assert bars(settings) == truth(archive, DayRange(LAST, LAST))
    assert {record.kind for record in server.requests} == {"GET"}
    assert len(server.requests) == len(archive.symbols())


def test_a_daily_file_that_was_replaced_is_read_again(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    for days in (DayRange(LAST, LAST), DayRange(day("03-01"), LAST)):
        read(settings, days)
        text = ",".join(map(str, (milliseconds(LAST), 1, 2, 1, 2, 7, milliseconds(LAST) + 1, 9, 3, 4, 5, 0)))
        moment = archive.now() - dt.timedelta(hours=len(days))
        body = zip_of(f"LIVEUSDT-1d-{LAST}", text)
        archive.daily_bars.replace_file("LIVEUSDT", LAST, body=body, last_modified=moment)
        server.requests.clear()
        read(settings, days)
        assert set(gets(server)) - {f"ENDEDUSDT-1d-{LAST}.zip"} == {f"LIVEUSDT-1d-{LAST}.zip"}
        assert bars(settings, DayRange(LAST, LAST)) == truth(archive, DayRange(LAST, LAST))


def milliseconds(of: dt.date) -> int:
    return day_number(of) * 86_400_000


def zip_of(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(f"{name}.csv", text)
    return buffer.getvalue()


def test_a_monthly_file_takes_the_place_of_daily_ones_when_it_comes(
    archive: ScriptedArchive, settings: Settings
) -> None:
    archive.set_now(dt.datetime.fromisoformat("2024-03-01 09:30"))
    february = DayRange(day("02-01"), day("02-29"))
    read(settings, february)
    assert {row[-1] for row in bars(settings, february)} == {"daily"}
    archive.set_now(NOW)
    read(settings, DAYS)
    assert bars(settings) == truth(archive)
    assert {row[-1] for row in bars(settings, february)} == {"monthly"}
    kept = "SELECT count(*) FROM volume_files WHERE source = 'daily' AND date < '2024-03-01'"
    assert pipeline.query(settings, kept) == [(0,)]


def test_days_that_a_monthly_file_lacks_come_from_daily_ones(
    archive: ScriptedArchive, settings: Settings
) -> None:
    lacking = [day("01-05"), day("01-06"), day("01-31")]
    archive.monthly_bars.omit_days("LIVEUSDT", lacking)
    read(settings, DAYS)
    found = bars(settings)
    assert found == truth(archive)
    assert [
        row[0] for row in found if row[1] == "LIVEUSDT" and row[-1] == "daily" and row[0] < day("03-01")
    ] == lacking


def test_a_monthly_file_that_was_replaced_is_read_again(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    read(settings, DAYS)
    lines = [
        ",".join(map(str, (milliseconds(each), 1, 2, 1, 2, 7, milliseconds(each) + 1, 9, 3, 4, 5, 0)))
        for each in DayRange(day("01-02"), day("01-31"))
    ]
    archive.monthly_bars.replace_file(
        "LIVEUSDT", day("01-01"), body=zip_of("LIVEUSDT-1d-2024-01", "\n".join(lines))
    )
    server.requests.clear()
    read(settings, DAYS)
    assert sorted(gets(server)) == ["LIVEUSDT-1d-2024-01-01.zip", "LIVEUSDT-1d-2024-01.zip"]
    assert bars(settings) == truth(archive)


def test_a_file_that_cannot_be_used_is_recorded_and_stops_nothing(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    archive.monthly_bars.replace_file("LIVEUSDT", day("01-01"), body=b"no zip")
    archive.daily_bars.replace_file("NEWUSDT", LAST, body=b"")
    read(settings, DAYS)
    assert bars(settings) == truth(archive)
    january = [row for row in bars(settings) if row[1] == "LIVEUSDT" and row[0].month == 1]
    assert len(january) == 31
    assert {row[-1] for row in january} == {"daily"}
    faults = pipeline.query(
        settings, "SELECT symbol, source, date, bars FROM volume_files WHERE fault IS NOT NULL ORDER BY ALL"
    )
    assert faults == [("LIVEUSDT", "monthly", day("01-01"), 0), ("NEWUSDT", "daily", LAST, 0)]
    server.requests.clear()
    read(settings, DAYS)
    assert gets(server) == []


def test_a_bar_without_a_1_minute_file_and_the_reverse(archive: ScriptedArchive, settings: Settings) -> None:
    archive.daily_bars.add_file(
        "HOLEUSDT", day("01-11"), body=zip_of("HOLEUSDT-1d-2024-01-11", one_bar(day("01-11")))
    )
    archive.daily_bars.remove_file("LIVEUSDT", LAST)
    read(settings, DAYS)
    found = bars(settings)
    assert found == truth(archive)
    keys = {(row[1], row[0]) for row in found}
    assert ("HOLEUSDT", day("01-11")) in keys
    assert ("LIVEUSDT", LAST) not in keys


def one_bar(of: dt.date) -> str:
    return ",".join(map(str, (milliseconds(of), 1, 2, 1, 2, 7, milliseconds(of) + 1, 9, 3, 4, 5, 0)))


def test_the_last_day_of_2019_has_only_a_daily_file(tmp_path: Path, settings_for: SettingsFactory) -> None:
    archive = ScriptedArchive.recorded(["BTCUSDT"], NOW)
    days = DayRange(dt.date(2019, 9, 25), dt.date(2020, 2, 10))
    with serve(archive) as server:
        settings = settings_for(server)
        pipeline.discover(settings)
        read(settings, days)
        assert bars(settings, days) == truth(archive, days)
        assert bars(settings, days)[0][-1] == "daily"
        assert len(gets(server)) == 3
    assert tmp_path.exists()


def test_a_request_that_fails_leaves_the_table_as_it_was(server: ObservedServer, settings: Settings) -> None:
    read(settings, DayRange(day("02-01"), day("02-20")))
    before = pipeline.query(settings, "FROM daily_volume ORDER BY ALL")
    server.faults.inject(Fault.status(503), on="GET", match="NEWUSDT")
    with pytest.raises(
        ArchiveFailures, match="9 of 34 files failed and nothing was written: NEWUSDT 2024-03"
    ):
        read(settings, DAYS)
    assert pipeline.query(settings, "FROM daily_volume ORDER BY ALL") == before


def test_only_some_contracts_can_be_read(archive: ScriptedArchive, settings: Settings) -> None:
    read(settings, DAYS, ["liveusdt", "龙虾usdt"])
    assert {row[1] for row in bars(settings)} == {"LIVEUSDT", "龙虾USDT"}
    with pytest.raises(UsageError, match="no tracked contract is called 'LIVUSDT'"):
        read(settings, DAYS, ["LIVUSDT"])
    assert archive.symbols()


@hypothesis_settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_read_in_whatever_order_the_table_has_what_the_files_say(
    settings_for: SettingsFactory, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = make_archive()
    with serve(archive) as server:
        settings = settings_for(server, data_dir=str(tmp_path_factory.mktemp("data")))
        pipeline.discover(settings)
        for _ in range(data.draw(st.integers(1, 3))):
            archive.set_now(data.draw(st.datetimes(dt.datetime(2024, 1, 25), NOW)))  # noqa: DTZ001 - as the archive
            start = data.draw(st.dates(DAYS.start, archive.now().date() - dt.timedelta(days=1)))
            end = data.draw(st.dates(start, archive.now().date() - dt.timedelta(days=1)))
            read(settings, DayRange(start, end))
        archive.set_now(NOW)
        read(settings, DAYS)
        assert bars(settings) == whole_truth()


@functools.cache
def whole_truth() -> list[pipeline.Row]:
    return truth(make_archive())


@given(st.sets(st.dates(DAYS.start, DAYS.end)))
def test_stretches_are_the_days_without_overlap(days: set[dt.date]) -> None:
    bits = sum(1 << (each - DAYS.start).days for each in days)
    found = list(stretches(bits, DAYS.start))
    assert [each for stretch in found for each in stretch] == sorted(days)
    assert all(after.start - before.end > dt.timedelta(days=1) for before, after in itertools.pairwise(found))


@pytest.mark.parametrize(("month", "last"), [("2024-02-01", "2024-02-29"), ("2023-12-01", "2023-12-31")])
def test_a_monthly_file_is_about_the_whole_month(month: str, last: str) -> None:
    assert str(last_day_of("monthly", dt.date.fromisoformat(month))) == last
