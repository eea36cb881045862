"""Inspection of files over HTTP: every verdict, what is left out, and that nothing is read twice or lost.

Whole files are those of the simulated archive, whose rows add up to its daily bars; others are written here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from availability_pipeline import AvailabilityQueries, PublishedDatabaseError, UsageError
from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting import inspect
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveError, ArchiveFailures
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.write import publish
from availability_pipeline.quality.check import Scope, Severity
from availability_pipeline.quality.contents import incomplete_files
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.contents import files_not_inspected
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.archive import zips
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve
from availability_pipeline_tests.simulator.scripting import day_number

NOW = dt.datetime(2024, 3, 10, 12, tzinfo=dt.UTC)
EARLIER = dt.datetime(2024, 3, 10, 9, tzinfo=dt.UTC)
DAYS = DayRange(dt.date(2024, 3, 5), dt.date(2024, 3, 9))
DAY = DAYS.start
NAMES = ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT", "FUSDT")


@pytest.fixture
def archive() -> ScriptedArchive:
    archive = ScriptedArchive.empty(NOW)
    for name in NAMES:
        archive.add_symbol(name, dt.date(2024, 2, 1))
    return archive


@pytest.fixture
def server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running, clock_at(NOW, running):
        yield running


@pytest.fixture
def settings(server: ObservedServer, settings_for: SettingsFactory) -> Settings:
    return settings_for(server, connections=4)


def body(symbol: str, minutes: Iterable[int], day: dt.date = DAY, name: str | None = None) -> bytes:
    """A file with rows of these minutes, in this order."""
    midnight = day_number(day) * zips.DAY_MS
    rows = (zips.row(midnight + minute * zips.MINUTE_MS) for minute in minutes)
    return zips.packed(zips.HEADER + "".join(rows), name or f"{symbol}-1m-{day}.csv")


def verdicts(settings: Settings, columns: str = "symbol, date, verdict") -> list[pipeline.Row]:
    return pipeline.query(
        settings, f"SELECT {columns} FROM file_contents ORDER BY symbol, date, last_modified"
    )


def of_day(settings: Settings, day: dt.date = DAY) -> dict[str, str]:
    return {symbol: verdict for symbol, date, verdict in verdicts(settings) if date == day}


def derived(settings: Settings) -> None:
    with connect(settings.working_path) as connection:
        derive(connection, Rules.of(settings))


def published(settings: Settings) -> AvailabilityQueries:
    with connect(settings.working_path) as connection:
        publish(connection, settings.db_path, "run")
    return AvailabilityQueries(settings.db_path)


def of_minutes(server: ObservedServer) -> list[str]:
    """What was asked for of 1-minute files and their checksums."""
    return [
        record.path.rpartition("/")[2]
        for record in server.requests
        if record.kind == "GET" and "/1m/" in record.path
    ]


@pytest.mark.parametrize(
    ("minutes", "verdict", "missing", "duplicate", "unordered"),
    [
        (range(1440), "complete", 0, 0, 0),
        ([*range(1440), 7], "complete", 0, 1, 1),
        ([1, 0, *range(2, 1440)], "complete", 0, 0, 1),
        (range(600), "truncated", 840, 0, 0),
        ([0], "truncated", 1439, 0, 0),
        (range(600, 1440), "gaps", 600, 0, 0),
        ([*range(100), *range(105, 1440)], "gaps", 5, 0, 0),
        ([*range(100), *range(105, 1000)], "gaps", 445, 0, 0),
        ([], "unreadable", 1440, 0, 0),
    ],
)
def test_missing_minutes_decide(  # noqa: PLR0917
    archive: ScriptedArchive,
    settings: Settings,
    minutes: Iterable[int],
    verdict: str,
    missing: int,
    duplicate: int,
    unordered: int,
) -> None:
    minutes = list(minutes)
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", minutes))
    pipeline.run(settings, DAY - dt.timedelta(days=1), DAY)
    derived(settings)
    assert pipeline.inspect(settings, DayRange(DAY, DAY), ["AUSDT"]).verdicts == {verdict: 1}
    counts = "rows, missing_minutes, duplicate_minutes, unordered_minutes, first_minute, last_minute"
    ends = (min(minutes), max(minutes)) if minutes else (None, None)
    assert verdicts(settings, f"verdict, checksum, {counts}") == [
        (verdict, "agrees", len(minutes), missing, duplicate, unordered, *ends)
    ]


def test_a_file_that_cannot_be_read_or_disagrees_with_its_checksum_is_told(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    archive.replace_file("AUSDT", DAY, body=b"no zip")
    archive.replace_file("BUSDT", DAY, body=b"")
    archive.replace_file("CUSDT", DAY, body=body("CUSDT", range(1440), name="DUSDT-1m-2024-03-05.csv"))
    archive.replace_file(
        "DUSDT", DAY, body=body("DUSDT", range(1440), dt.date(2024, 3, 4), f"DUSDT-1m-{DAY}.csv")
    )
    archive.set_checksum("EUSDT", DAY, b"0" * 64)
    server.faults.inject(Fault.status(404), on="GET", match="FUSDT-1m-2024-03-05.zip.CHECKSUM")
    pipeline.run(settings, DAY)
    done = pipeline.inspect(settings, DayRange(DAY, DAY))
    assert of_day(settings) == {
        **dict.fromkeys(NAMES[:4], "unreadable"), "EUSDT": "bad_checksum", "FUSDT": "complete",
    }  # fmt: skip
    assert (done.files, done.requests, done.gone) == (6, 12, 0)
    assert dict(verdicts(settings, "symbol, checksum")) == {
        **dict.fromkeys(NAMES[:4], "agrees"), "EUSDT": "disagrees", "FUSDT": "none",
    }  # fmt: skip


def test_a_checksum_that_was_corrected_makes_its_file_complete(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    whole = body("EUSDT", range(1440))
    archive.replace_file("EUSDT", DAY, body=whole)
    archive.set_checksum("EUSDT", DAY, b"0" * 64)
    pipeline.run(settings, DAY)
    for checksum, verdict in (
        (b"1" * 64, "bad_checksum"),
        (hashlib.sha256(whole).hexdigest().encode(), "complete"),
    ):
        pipeline.inspect(settings, DayRange(DAY, DAY))
        archive.set_checksum("EUSDT", DAY, checksum)
        server.requests.clear()
        assert pipeline.inspect(settings, DayRange(DAY, DAY)).verdicts == {verdict: 1}
        assert of_minutes(server) == [f"EUSDT-1m-{DAY}.zip", f"EUSDT-1m-{DAY}.zip.CHECKSUM"]
    assert of_day(settings) == dict.fromkeys(NAMES, "complete")


def test_a_checksum_that_is_known_not_to_be_there_is_not_asked_for(
    server: ObservedServer, settings: Settings
) -> None:
    pipeline.run(settings, DAY)
    with connect(settings.working_path) as connection:
        connection.execute("UPDATE availability SET has_checksum = false WHERE symbol = 'AUSDT'")
    assert pipeline.inspect(settings, DayRange(DAY, DAY)).requests == 11
    assert "AUSDT-1m-2024-03-05.zip.CHECKSUM" not in of_minutes(server)
    assert verdicts(settings, "symbol, checksum")[0] == ("AUSDT", "none")


def test_a_first_and_a_last_day_may_be_partial_whenever_that_becomes_known(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    archive.add_symbol("NEWUSDT", DAY)
    archive.add_symbol("PASTUSDT", dt.date(2024, 2, 1), DAYS.end)
    archive.replace_file("NEWUSDT", DAY, body=body("NEWUSDT", range(420, 1440)))
    archive.replace_file("PASTUSDT", DAYS.end, body=body("PASTUSDT", range(540), DAYS.end))
    archive.replace_file("AUSDT", DAYS.end, body=body("AUSDT", range(540), DAYS.end))
    pipeline.run(settings, dt.date(2024, 2, 1), DAYS.end)
    pipeline.inspect(settings, DAYS)

    def said() -> list[str]:
        return [
            of_day(settings)["NEWUSDT"],
            *(of_day(settings, DAYS.end)[name] for name in ("PASTUSDT", "AUSDT")),
        ]

    assert said() == ["gaps", "truncated", "truncated"]
    derived(settings)
    assert said() == ["partial_first_day", "truncated", "truncated"]
    with published(settings) as queries:
        assert [row["symbol"] for row in queries.get_incomplete()] == ["AUSDT", "PASTUSDT"]
    later = NOW + dt.timedelta(days=20)
    archive.set_now(later)
    with clock_at(later, server):
        pipeline.run(settings, dt.date(2024, 3, 10), dt.date(2024, 3, 29))
        derived(settings)
        assert said() == ["partial_first_day", "partial_last_day", "truncated"]
        with published(settings) as queries:
            assert [row["symbol"] for row in queries.get_incomplete()] == ["AUSDT"]


def test_minutes_that_are_missing_within_a_first_day_are_a_gap(
    archive: ScriptedArchive, settings: Settings
) -> None:
    archive.add_symbol("NEWUSDT", DAY)
    archive.replace_file("NEWUSDT", DAY, body=body("NEWUSDT", [*range(420, 700), *range(701, 1440)]))
    pipeline.run(settings, DAYS.start, DAYS.end)
    derived(settings)
    pipeline.inspect(settings, DAYS, ["NEWUSDT"])
    assert of_day(settings) == {"NEWUSDT": "gaps"}


def test_the_files_of_an_archive_are_whole_and_add_up_to_its_bars(settings_for: SettingsFactory) -> None:
    recorded = ScriptedArchive.recorded(["BTCUSDT", "FTTUSDT", "LITUSDT", "1000SHIBUSDT"], NOW)
    with serve(recorded) as other, clock_at(NOW, other):
        settings = settings_for(other)
        pipeline.run(settings, DAYS.start, DAYS.end)
        pipeline.write_bars(settings, recorded, DAYS)
        pipeline.inspect(settings, DAYS)
    found = pipeline.query(
        settings,
        "SELECT verdict, round(held.quote_volume - bar.quote_volume, 2), held.trades - bar.trades, "
        "round(held.base_volume - bar.base_volume, 6), (held.traded_minutes > 0) = (bar.trades > 0) "
        "FROM file_contents AS held LEFT JOIN daily_volume AS bar USING (date, symbol)",
    )
    assert len(found) == len(recorded.symbols()) * len(DAYS)
    assert set(found) == {("complete", 0, 0, 0, True)}


def test_a_version_is_inspected_once_and_the_newest_counts(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings
) -> None:
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(600)), last_modified=EARLIER)
    pipeline.run(settings, DAY)
    pipeline.inspect(settings, DayRange(DAY, DAY))
    server.requests.clear()
    assert pipeline.inspect(settings, DayRange(DAY, DAY)).files == 0
    assert of_minutes(server) == []
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(1440)))
    archive.replace_file("BUSDT", DAY, body=body("BUSDT", range(700)))
    pipeline.run(settings, DAY)
    with published(settings) as queries:
        assert [row["symbol"] for row in queries.get_incomplete()] == ["AUSDT"]
        assert queries.files_not_complete(DAY, DAY) == {(DAY, "AUSDT"): None, (DAY, "BUSDT"): None}
    pipeline.inspect(settings, DayRange(DAY, DAY))
    assert len(of_minutes(server)) == 4
    assert [row for row in verdicts(settings) if row[0] in NAMES[:2]] == [
        ("AUSDT", DAY, "truncated"), ("AUSDT", DAY, "complete"),
        ("BUSDT", DAY, "complete"), ("BUSDT", DAY, "truncated"),
    ]  # fmt: skip
    with published(settings) as queries:
        [row] = queries.get_incomplete()
        assert (row["symbol"], row["verdict"], row["volume_difference"]) == ("BUSDT", "truncated", None)
        assert queries.get_incomplete("busdt").arrow().to_pylist() == [row]
        assert queries.get_incomplete("ausdt") == []
        assert queries.files_not_complete(DAY, DAY) == {(DAY, "BUSDT"): "truncated"}


def test_a_file_that_went_since_it_was_collected_is_counted_and_has_no_row(
    archive: ScriptedArchive, settings: Settings
) -> None:
    pipeline.run(settings, DAY)
    archive.remove_file("AUSDT", DAY)
    done = pipeline.inspect(settings, DayRange(DAY, DAY))
    assert (done.files, done.gone, done.requests) == (5, 1, 11)
    assert "AUSDT" not in of_day(settings)


def test_a_version_that_came_since_is_recorded_as_what_it_is(
    archive: ScriptedArchive, settings: Settings
) -> None:
    pipeline.run(settings, DAY)
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(600)))
    pipeline.inspect(settings, DayRange(DAY, DAY))
    file = archive.file("AUSDT", DAY)
    assert file is not None
    assert verdicts(settings, "file_size_bytes, last_modified, verdict")[0] == (
        file.size, file.last_modified, "truncated",
    )  # fmt: skip


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(inspect, "FILES_PER_SLICE", 7)
    return 7


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_request_that_fails_loses_nothing_else(
    server: ObservedServer, settings: Settings, small_slices: int, times: int
) -> None:
    pipeline.run(settings, DAYS.start, DAYS.end)
    server.faults.inject(Fault.status(503), on="GET", match="/AUSDT/", times=times)
    with pytest.raises((ArchiveError, ArchiveFailures), match="HTTP 503"):
        pipeline.inspect(settings, DAYS)
    assert len(verdicts(settings)) == len(NAMES) * len(DAYS) - times
    assert small_slices < len(NAMES) * len(DAYS)
    server.faults.clear()
    assert pipeline.inspect(settings, DAYS).files == times
    assert {verdict for *_, verdict in verdicts(settings)} == {"complete"}


@pytest.mark.usefixtures("small_slices")
def test_a_source_that_is_down_is_left_alone(server: ObservedServer, settings: Settings) -> None:
    pipeline.run(settings, DAYS.start, DAYS.end)
    server.requests.clear()
    server.faults.inject(Fault.status(503), on="GET")
    with pytest.raises(
        ArchiveFailures, match=r"of 30 files could not be inspected; what was found in others"
    ):
        pipeline.inspect(settings, DAYS)
    assert len(of_minutes(server)) <= 7
    assert verdicts(settings) == []


def test_no_more_rows_are_held_than_those_of_a_slice(settings: Settings, small_slices: int) -> None:
    pipeline.run(settings, DAYS.start, DAYS.end)
    with connect(settings.working_path) as connection:
        files = files_not_inspected(connection, DAYS)
    written: list[pa.Table] = []
    inspect.inspect_files(files, settings, Progress(), written.append, inspect.Inspection())
    assert [table.num_rows for table in written] == [small_slices] * 4 + [2]


def mirrored(settings: Settings, folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of a mirror's manifest, each compared with its file."""
    entries = {row["path"]: row for row in pq.read_table(folder / "manifest.parquet").to_pylist()}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.zip")}
    assert found == set(entries)
    for path, entry in entries.items():
        content = (folder / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert settings.mirror_dir == folder
    return entries


@pytest.mark.usefixtures("small_slices")
def test_what_is_read_is_kept_in_the_mirror(
    archive: ScriptedArchive, server: ObservedServer, settings_for: SettingsFactory, tmp_path: Path
) -> None:
    settings = settings_for(server, mirror_dir=str(tmp_path / "mirror"))
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(600)))
    archive.set_checksum("BUSDT", DAY, b"0" * 64)
    server.faults.inject(Fault.status(404), on="GET", match="CUSDT-1m-2024-03-05.zip.CHECKSUM")
    pipeline.run(settings, DAYS.start, DAYS.end)
    done = pipeline.inspect(settings, DAYS)
    entries = mirrored(settings, tmp_path / "mirror")
    assert (done.kept, done.mirror_problem) == (29, None)
    paths = {
        DEFAULT_DATASET.key(name, day): "none" if (name, day) == ("CUSDT", DAY) else "agrees"
        for name in NAMES for day in DAYS if (name, day) != ("BUSDT", DAY)
    }  # fmt: skip
    assert {path: entry["checksum"] for path, entry in entries.items()} == paths
    assert [path.name for path in (tmp_path / "mirror").iterdir() if "download" in path.name] == []


@pytest.mark.parametrize("obstacle", ["mirror", "mirror/data", "mirror/manifest.parquet"])
def test_a_mirror_that_cannot_be_written_to_stops_no_inspection(
    server: ObservedServer, settings_for: SettingsFactory, tmp_path: Path, obstacle: str
) -> None:
    settings = settings_for(server, mirror_dir=str(tmp_path / "mirror"))
    place = tmp_path / obstacle
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"another's")
    pipeline.run(settings, DAY)
    done = pipeline.inspect(settings, DayRange(DAY, DAY))
    assert (done.files, done.kept) == (len(NAMES), 0)
    assert done.mirror_problem is not None
    assert "mirror" in done.mirror_problem
    assert place.read_bytes() == b"another's"
    assert set(of_day(settings).values()) == {"complete"}


def test_a_check_warns_of_incomplete_files_and_counts_the_others(
    archive: ScriptedArchive, settings: Settings
) -> None:
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(600)), last_modified=EARLIER)
    archive.replace_file("BUSDT", DAYS.end, body=b"no zip", last_modified=EARLIER)
    pipeline.run(settings, DAYS.start, DAYS.end)

    def found(**scope: Any) -> Any:
        with connect(settings.working_path, read_only=True) as connection:
            return incomplete_files(connection, Scope(settings, **scope))

    assert (found().passed, found().numbers) == (True, {"files": 30, "not_inspected": 30, "incomplete": 0})
    pipeline.inspect(settings, DAYS, NAMES[:3])
    finding = found()
    assert (finding.passed, finding.severity) == (False, Severity.WARN)
    assert finding.numbers == {
        "files": 30, "not_inspected": 15, "incomplete": 2, "truncated": 1, "unreadable": 1,
    }  # fmt: skip
    assert [(row["symbol"], row["verdict"]) for row in finding.offenders] == [
        ("BUSDT", "unreadable"), ("AUSDT", "truncated"),
    ]  # fmt: skip
    assert finding.summary.startswith(
        "2 files are incomplete: 1 truncated, 1 unreadable (BUSDT 2024-03-09 unreadable"
    )
    assert found(days=DayRange(DAY, DAY)).numbers["incomplete"] == 1
    assert found(symbols=("CUSDT",)).summary == "no incomplete file among 5 inspected ones"
    archive.replace_file("AUSDT", DAY, body=body("AUSDT", range(1440)))
    archive.replace_file("BUSDT", DAYS.end, body=body("BUSDT", range(1440), DAYS.end))
    pipeline.run(settings, DAYS.start, DAYS.end)
    assert found().numbers["incomplete"] == 2  # until the new versions are inspected
    pipeline.inspect(settings, DAYS, NAMES[:3])
    assert found().passed


def test_nothing_is_wrong_with_nothing(settings: Settings) -> None:
    with connect(settings.working_path) as connection:
        assert incomplete_files(connection, Scope(settings)).passed


def test_readers_are_told_what_is_wrong_with_the_question(tmp_path: Path) -> None:
    path = sample.writable(sample.copy_published(tmp_path / "data").path)
    with AvailabilityQueries(path) as queries:
        assert queries.get_incomplete() == []
        with pytest.raises(UsageError, match="no contract is called 'BTCUSD'"):
            queries.get_incomplete("BTCUSD")
    with sample.duckdb.connect(path) as connection:
        connection.execute("UPDATE publication SET schema_version = 3")
    with (
        AvailabilityQueries(path) as queries,
        pytest.raises(PublishedDatabaseError, match="did not inspect files"),
    ):
        queries.get_incomplete()
