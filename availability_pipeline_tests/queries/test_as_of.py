"""What the database knew at a past moment is told from the ledger, and what cannot be told is said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from availability_pipeline import AvailabilityQueries, UsageError
from availability_pipeline.dates import parse_moment
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.simulator import ScriptedArchive, serve

DAY = dt.date(2024, 2, 27)
NAMES = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "LITUSDT"]
START = dt.datetime(2024, 2, 28, 7, 50, tzinfo=dt.UTC)

Known = dict[str, tuple[int, dt.datetime]]


def moment(hours: float) -> dt.datetime:
    return START + dt.timedelta(hours=hours)


@pytest.fixture(scope="module")
def history(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[AvailabilityQueries, dict[float, Known]]]:
    """A day collected again and again while its files appear, are replaced and withdrawn; what was there each time."""
    archive = ScriptedArchive.recorded(symbols=NAMES, now=START)
    known: dict[float, Known] = {}
    with serve(archive) as server:
        settings = Settings.load(
            server.environment(), data_dir=str(tmp_path_factory.mktemp("as_of")), connections="4"
        )
        for hours in (0, 0.75, 24, 48, 72):
            with clock_at(moment(hours), server):
                archive.set_now(moment(hours))
                if hours == 48:
                    archive.replace_file("ETHUSDT", DAY, size=12_345)
                    archive.add_symbol("LATEUSDT", first_day=DAY)
                if hours == 72:
                    archive.remove_file("BTCUSDT", DAY)
                    archive.replace_file("ETHUSDT", DAY, size=54_321)
                collect = pipeline.run_and_publish if hours == 72 else pipeline.run
                collect(settings, DAY - dt.timedelta(days=2), DAY)
                found = {symbol: archive.file(symbol, DAY) for symbol in archive.symbols()}
                known[hours] = {name: (file.size, file.last_modified) for name, file in found.items() if file}
        with AvailabilityQueries(settings.db_path) as queries:
            yield queries, known


def test_each_moment_has_what_was_there_at_the_collection_before(
    history: tuple[AvailabilityQueries, dict[float, Known]],
) -> None:
    queries, known = history
    assert len({tuple(there.items()) for there in known.values()}) == 5  # something changed each time
    for hours, there in known.items():
        for later in (0, 0.2):
            asked = (moment(hours + later) + dt.timedelta(seconds=1)).isoformat()
            rows = queries.get_available_symbols_on_date(DAY, as_of=asked)
            assert {row["symbol"]: (row["file_size_bytes"], row["last_modified"]) for row in rows} == there
            assert {row["probe_timestamp"] for row in rows} <= {moment(hours).replace(tzinfo=None)}
            assert queries.get_available_symbols_on_date(DAY, as_of=asked).arrow().to_pylist() == rows


def test_now_is_as_of_now(history: tuple[AvailabilityQueries, dict[float, Known]]) -> None:
    queries, _ = history
    assert queries.get_available_symbols_on_date(
        DAY, as_of=moment(100)
    ) == queries.get_available_symbols_on_date(DAY)


def test_what_was_before_the_first_collection_cannot_be_told(
    history: tuple[AvailabilityQueries, dict[float, Known]],
) -> None:
    queries, _ = history
    with pytest.raises(
        UsageError, match=r"at 2024-02-28 07:49:59 UTC cannot be told, .* until 2024-02-28 07:50:01"
    ):
        queries.get_available_symbols_on_date(DAY, as_of="2024-02-28T07:49:59")
    with pytest.raises(
        UsageError, match="as_of is 'tuesday', which is not a moment; write it as 2024-01-15T08:00"
    ):
        queries.get_available_symbols_on_date(DAY, as_of="tuesday")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15T08:00",
        "2024-01-15 08:00",
        "2024-01-15T09:00+01:00",
        "2024-01-15T08:00Z",
        " 2024-01-15T08:00 ",
    ],
)
def test_a_moment_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert parse_moment(text, "as_of") == dt.datetime.fromisoformat("2024-01-15T08:00")
