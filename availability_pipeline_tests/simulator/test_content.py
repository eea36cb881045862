"""What exists when: publication moments, gaps, sizes, the reduced archive, and changes by a script."""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline.errors import UsageError
from availability_pipeline_tests.simulator import ScriptedArchive
from availability_pipeline_tests.simulator.conftest import NOW

BTC = "BTCUSDT"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def recorded(*symbols: str, now: str = "2026-10-05 12:00") -> ScriptedArchive:
    return ScriptedArchive.recorded(symbols, now=at(now))


def test_whole_archive_at_the_moment_of_the_record() -> None:
    archive = ScriptedArchive.recorded(now=at("2026-10-05 12:00"))
    assert len(archive.symbols()) == 1_057
    assert archive.symbols()[-1] == "龙虾USDT"


def test_folders_appear_with_their_first_file() -> None:
    archive = ScriptedArchive.recorded(now=at("2020-01-03 12:00"))
    assert archive.symbols() == ["BCHUSDT", BTC, "ETHUSDT"]


def test_files_go_on_to_yesterday() -> None:
    files = recorded(BTC).files(BTC)
    assert (files[0], files[-1]) == (dt.date(2019, 12, 31), dt.date(2026, 10, 4))
    assert len(files) == (files[-1] - files[0]).days + 1


@pytest.mark.parametrize(("time", "last"), [("06:49:59", "2024-03-08"), ("09:10:01", "2024-03-09")])
def test_files_appear_between_ten_to_seven_and_ten_past_nine(time: str, last: str) -> None:
    archive = ScriptedArchive.recorded(50, now=at(f"2024-03-10 {time}"))
    newest = {
        archive.files(symbol)[-1].isoformat()
        for symbol in archive.symbols()
        if len(archive.files(symbol)) > 3
    }
    assert last in newest
    assert not newest & ({"2024-03-08", "2024-03-09"} - {last})


def test_a_file_appears_at_its_last_modified() -> None:
    archive = recorded(BTC, now="2024-03-10 12:00")
    file = archive.file(BTC, dt.date(2024, 3, 9))
    assert file is not None
    archive.set_now(file.last_modified - dt.timedelta(seconds=1))
    assert archive.file(BTC, dt.date(2024, 3, 9)) is None
    archive.set_now(file.last_modified)
    assert archive.file(BTC, dt.date(2024, 3, 9)) == file


def test_some_new_listings_are_a_day_late() -> None:
    archive = ScriptedArchive.recorded(now=at("2026-10-05 12:00"))
    late = 0
    for symbol in archive.symbols():
        first = archive.files(symbol)[0]
        file = archive.file(symbol, first)
        late += file is not None and file.last_modified.date() == first + dt.timedelta(days=2)
    assert 150 < late < 400


def test_a_moving_clock_is_followed() -> None:
    moments = iter([at("2024-03-10 06:00"), at("2024-03-10 10:00")])
    archive = ScriptedArchive.recorded([BTC], now=lambda: next(moments))
    assert [archive.files(BTC)[-1].day for _ in range(2)] == [8, 9]


def test_an_aware_clock_is_converted() -> None:
    tokyo = dt.timezone(dt.timedelta(hours=9))
    archive = ScriptedArchive.recorded([BTC], now=dt.datetime(2024, 3, 10, 15, tzinfo=tokyo))
    assert archive.now() == at("2024-03-10 06:00")


def test_the_real_clock_is_the_default() -> None:
    apart = dt.datetime.now(dt.UTC).replace(tzinfo=None) - ScriptedArchive.empty().now()
    assert abs(apart) < dt.timedelta(seconds=5)


def test_permanent_gaps_are_never_filled() -> None:
    files = recorded("ICPUSDT").files("ICPUSDT")
    assert not {dt.date(2022, 9, day) for day in range(22, 27)} & set(files)
    assert {dt.date(2022, 9, 21), dt.date(2022, 9, 27)} <= set(files)


def test_a_filled_gap_is_there_from_that_day_on() -> None:
    archive, day = recorded("SOLUSDT", now="2025-10-19 23:00"), dt.date(2025, 10, 5)
    assert archive.file("SOLUSDT", day) is None
    archive.set_now(at("2025-10-20 10:00"))
    file = archive.file("SOLUSDT", day)
    assert file is not None
    assert file.last_modified.date() == dt.date(2025, 10, 20)


def test_the_whole_market_was_late() -> None:
    archive = recorded(BTC, "ETHUSDT", now="2023-05-30 12:00")
    assert {archive.files(symbol)[-1] for symbol in archive.symbols()} == {dt.date(2023, 5, 22)}
    archive.set_now(at("2023-05-31 12:00"))
    assert {archive.files(symbol)[-1] for symbol in archive.symbols()} == {dt.date(2023, 5, 30)}


def test_flat_days_have_flat_sizes_and_live_ones_do_not() -> None:
    archive = recorded("FTTUSDT")
    sizes = {day: archive.file("FTTUSDT", day).size for day in archive.files("FTTUSDT")}  # type: ignore[union-attr]
    flat = [size for day, size in sizes.items() if day >= dt.date(2022, 11, 15)]
    live = [size for day, size in sizes.items() if day < dt.date(2022, 11, 14)]
    assert 7_400 <= min(flat) <= max(flat) < 8_400
    assert len(set(flat)) > 100
    assert min(live) >= 12_000


def test_live_sizes_are_around_the_recorded_one() -> None:
    archive = recorded(BTC)
    sizes = sorted(archive.file(BTC, day).size for day in archive.files(BTC))  # type: ignore[union-attr]
    assert abs(sizes[len(sizes) // 2] / 61_329 - 1) < 0.03
    assert sizes[-1] <= 1.15 * 61_329


def test_the_first_and_the_last_day_are_partial() -> None:
    archive = recorded("LUNAUSDT")
    files = archive.files("LUNAUSDT")
    ends = [archive.file("LUNAUSDT", day).size for day in (files[0], files[-1])]  # type: ignore[union-attr]
    assert all(12_000 <= size < 0.85 * 1.15 * 52_463 for size in ends)


def test_the_same_file_is_the_same_in_every_archive() -> None:
    day = dt.date(2024, 1, 15)
    early = recorded(BTC, now="2024-01-16 12:00").file(BTC, day)
    assert early is not None
    assert early == ScriptedArchive.recorded(20, now=at("2026-10-05 12:00")).file(BTC, day)


def test_etags_are_quoted_and_differ() -> None:
    archive = recorded(BTC, "ETHUSDT", now="2024-01-16 12:00")
    etags = [archive.file(s, day).etag for s in archive.symbols() for day in archive.files(s)]  # type: ignore[union-attr]
    assert len(set(etags)) == len(etags)
    assert all(etag[0] == etag[-1] == '"' and len(etag) == 34 for etag in etags)


def test_a_reduced_archive_has_one_of_each_oddity() -> None:
    archive = ScriptedArchive.recorded(10, now=at("2026-10-05 12:00"))
    names = archive.symbols()
    assert len(names) == 10
    assert {BTC, "ETHUSDT", "币安人生USDT", "ICPUSDT_SETTLED", "FTTUSDT", "LUNAUSDT", "ICPUSDT"} <= set(names)


def test_a_reduced_archive_grows_by_name() -> None:
    ten = set(ScriptedArchive.recorded(10, now=NOW).folders())
    assert len(ten) == 10
    more = {folder.facts.symbol for folder in ScriptedArchive.recorded(12).folders()}
    assert {"0GUSDT", "1000000BOBUSDT"} <= more
    assert {folder.facts.symbol for folder in ScriptedArchive.recorded(1).folders()} == {BTC}


def test_a_reduced_archive_has_only_tracked_folders() -> None:
    assert all(folder.facts.tracked for folder in ScriptedArchive.recorded(918).folders())


@pytest.mark.parametrize("symbols", [919, -1, ["BTCUSD"]])
def test_what_is_not_recorded_cannot_be_chosen(symbols: int | list[str]) -> None:
    with pytest.raises(UsageError):
        ScriptedArchive.recorded(symbols)


def test_an_empty_archive() -> None:
    archive = ScriptedArchive.empty()
    assert archive.symbols() == []
    assert archive.files(BTC) == []
    assert archive.file(BTC, dt.date(2024, 1, 1)) is None


def test_last_published_day_hides_what_is_later() -> None:
    archive = recorded(BTC)
    archive.set_last_published_day(dt.date(2024, 1, 10))
    assert archive.files(BTC)[-1] == dt.date(2024, 1, 10)
    archive.set_last_published_day(None)
    assert archive.files(BTC)[-1] == dt.date(2026, 10, 4)


def test_last_published_day_shows_what_the_hour_would_hide() -> None:
    archive = recorded(BTC, now="2024-03-10 02:00")
    archive.set_last_published_day(dt.date(2024, 3, 9))
    assert archive.files(BTC)[-1] == dt.date(2024, 3, 9)


def test_last_published_day_hides_folders_as_well() -> None:
    archive = recorded(BTC, "0GUSDT")
    archive.set_last_published_day(dt.date(2024, 1, 10))
    assert archive.symbols() == [BTC]


def test_a_new_symbol(archive: ScriptedArchive) -> None:
    archive.add_symbol("NEWUSDT", dt.date(2024, 3, 5), dt.date(2024, 3, 7), live_zip_bytes=30_000)
    assert [day.day for day in archive.files("NEWUSDT")] == [5, 6, 7]
    assert "NEWUSDT" in archive.symbols()


def test_a_removed_symbol(archive: ScriptedArchive) -> None:
    archive.remove_symbol("AB")
    assert "AB" not in archive.symbols()
    assert archive.files("AB") == []


def test_a_removed_file(archive: ScriptedArchive) -> None:
    archive.remove_file(BTC, dt.date(2024, 3, 5))
    assert [day.day for day in archive.files(BTC)] == [1, 2, 3, 4, 6, 7, 8, 9]


def test_an_added_file_before_the_others(archive: ScriptedArchive) -> None:
    archive.add_file(BTC, dt.date(2024, 2, 1), size=7_500)
    file = archive.file(BTC, dt.date(2024, 2, 1))
    assert file is not None
    assert (file.size, file.last_modified) == (7_500, NOW)
    assert archive.files(BTC)[0] == dt.date(2024, 2, 1)


def test_a_file_added_for_later(archive: ScriptedArchive) -> None:
    archive.add_file("AB", dt.date(2024, 3, 8), last_modified=NOW + dt.timedelta(hours=1))
    assert archive.file("AB", dt.date(2024, 3, 8)) is None
    archive.set_now(NOW + dt.timedelta(hours=1))
    assert archive.file("AB", dt.date(2024, 3, 8)) is not None


def test_todays_file_can_be_added_before_its_time(archive: ScriptedArchive) -> None:
    archive.set_now(at("2024-03-10 02:00"))
    archive.add_file(BTC, dt.date(2024, 3, 9))
    assert archive.files(BTC)[-1] == dt.date(2024, 3, 9)


def test_a_replaced_file(archive: ScriptedArchive) -> None:
    before = archive.file(BTC, dt.date(2024, 3, 5))
    archive.replace_file(BTC, dt.date(2024, 3, 5), size=50_001)
    after = archive.file(BTC, dt.date(2024, 3, 5))
    assert before is not None
    assert after is not None
    assert (after.size, after.last_modified) == (50_001, NOW)
    assert after.etag != before.etag


def test_a_file_replaced_twice_has_three_etags(archive: ScriptedArchive) -> None:
    etags = set()
    for _ in range(3):
        etags.add(archive.file(BTC, dt.date(2024, 3, 5)).etag)  # type: ignore[union-attr]
        archive.replace_file(BTC, dt.date(2024, 3, 5))
    assert len(etags) == 3


def test_a_replaced_file_comes_back_after_removal(archive: ScriptedArchive) -> None:
    archive.remove_file(BTC, dt.date(2024, 3, 5))
    archive.add_file(BTC, dt.date(2024, 3, 5))
    assert archive.file(BTC, dt.date(2024, 3, 5)) is not None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add_symbol", (BTC, dt.date(2024, 1, 1))),
        ("remove_symbol", ("NONE",)),
        ("add_file", (BTC, dt.date(2024, 3, 5))),
        ("add_file", ("NONE", dt.date(2024, 3, 5))),
        ("remove_file", (BTC, dt.date(2023, 3, 5))),
        ("replace_file", ("NONE", dt.date(2023, 3, 5))),
    ],
)
def test_a_script_that_contradicts_the_content(
    archive: ScriptedArchive, method: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(UsageError):
        getattr(archive, method)(*arguments)
