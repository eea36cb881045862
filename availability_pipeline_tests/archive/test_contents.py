"""Downloading files and reading them: real ones of the archive, and the simulator's against its own truth."""

from __future__ import annotations

import csv
import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from availability_pipeline.archive.contents import (
    BARS,
    MAX_CHECKSUM_BYTES,
    Fetched,
    compare_checksum,
    fetch,
    inspect_minutes,
    parse_checksum,
    read_bars,
)
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.klines import Fault, read_klines, unpack
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable, UnexpectedAnswer
from availability_pipeline.simulator.shape import day_number
from availability_pipeline.simulator.volumes import QUOTE_DIGITS
from availability_pipeline_tests.archive.servers import canned, nobody_listening
from availability_pipeline_tests.archive.zips import DAY_MS, JANUARY, MINUTE_MS, minutes, packed, row
from availability_pipeline_tests.simulator import Fault as Injected
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

DATA = Path(__file__).parent / "data"
NOW = dt.datetime.fromisoformat("2024-03-10 12:00")
SYMBOLS = ["BTCUSDT", "FTTUSDT", "龙虾USDT", "ICPUSDT", "LUNAUSDT"]
MODIFIED = {"Last-Modified": "Tue, 16 Jan 2024 08:12:33 GMT"}


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.fixture(scope="module")
def server() -> Iterator[ObservedServer]:
    archive = ScriptedArchive.recorded(SYMBOLS, now=dt.datetime.fromisoformat("2026-09-10 12:00"))
    with serve(archive) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(4, anonymous=True) as opened:
        yield opened


def get(session: Session, url: str, **about: str) -> Fetched | None:
    return fetch(session, url, 20, **about)  # type: ignore[arg-type]


def key(symbol: str, interval: str, date: str, period: str = "daily") -> str:
    return quote(f"data/futures/um/{period}/klines/{symbol}/{interval}/{symbol}-{interval}-{date}.zip")


def test_a_file_with_its_size_and_moment(server: ObservedServer, session: Session) -> None:
    fetched = get(session, f"{server.url}/{key('BTCUSDT', '1m', '2024-01-15')}")
    file = server.archive.file("BTCUSDT", day("2024-01-15"))
    assert fetched is not None
    assert file is not None
    assert (fetched.size, fetched.last_modified) == (file.size, file.last_modified)
    assert len(fetched.body) == file.size


def test_a_missing_file_is_none(server: ObservedServer, session: Session) -> None:
    assert get(session, f"{server.url}/{key('BTCUSDT', '1d', '2019-12-30')}") is None


@pytest.mark.parametrize("status", [302, 403, 500, 503])
def test_another_status_is_refused(session: Session, status: int) -> None:
    with canned(status, b"", {"Location": "/"}) as url, pytest.raises(ArchiveRefused) as caught:
        get(session, url, symbol="BTCUSDT", date="2024-01")
    assert caught.value.status == status
    assert str(caught.value).startswith("BTCUSDT 2024-01: the archive answered HTTP")


def test_an_archive_that_is_not_there(session: Session) -> None:
    with nobody_listening() as url, pytest.raises(ArchiveUnreachable, match="BTCUSDT 2024-01"):
        get(session, url, symbol="BTCUSDT", date="2024-01")


def test_a_body_that_breaks_off(session: Session) -> None:
    archive = ScriptedArchive.recorded(["BTCUSDT"], now=NOW)
    with serve(archive) as server:
        server.faults.inject(Injected.cut(), on="GET")
        with pytest.raises(ArchiveUnreachable, match="broke off"):
            get(session, f"{server.url}/{key('BTCUSDT', '1m', '2024-01-15')}")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Last-Modified": "soon"},
        {**MODIFIED, "Content-Type": "text/html"},
        {**MODIFIED, "Content-Encoding": "br"},
    ],
)
def test_an_answer_that_describes_no_file(session: Session, headers: dict[str, str]) -> None:
    with canned(200, b"x", headers) as url, pytest.raises(UnexpectedAnswer, match="does not describe a file"):
        get(session, url)


def test_no_more_than_the_limit_is_read(session: Session) -> None:
    with canned(200, bytes(5_000), MODIFIED) as url:
        fetched = fetch(session, url, 20, limit=MAX_CHECKSUM_BYTES)
    assert fetched is not None
    assert (len(fetched.body), fetched.size) == (MAX_CHECKSUM_BYTES + 1, 5_000)


def test_checksums_of_real_files() -> None:
    for name in ("BTCUSDT-1m-2020-01-01.zip", "BTCUSDT-1h-2026-05-08.zip"):
        body, checksum = (DATA / name).read_bytes(), (DATA / f"{name}.CHECKSUM").read_bytes()
        assert compare_checksum(body, checksum) == "agrees"
        assert compare_checksum(body + b"x", checksum) == "disagrees"
        assert compare_checksum(body, None) == "none"


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"abc  name.zip", b"0" * 63, b"0" * 65, b"<html>", b"\xff" * 70]
)
def test_what_is_no_checksum_disagrees(text: bytes) -> None:
    assert parse_checksum(text) is None
    assert compare_checksum(b"", text) == "disagrees"


def test_a_checksum_in_capitals_and_without_a_name() -> None:
    digest = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
    assert parse_checksum(digest.encode()) == digest.lower()
    assert compare_checksum(b"", f"{digest}\n".encode()) == "agrees"


def test_a_real_file_with_a_header() -> None:
    file = inspect_minutes(
        (DATA / "ALGOUSDT-1m-2023-02-14.zip").read_bytes(), "ALGOUSDT-1m-2023-02-14.zip", day("2023-02-14")
    )
    assert (file.fault, file.has_header, file.time_unit, file.checksum) == (None, True, "ms", "none")
    assert (file.rows, file.first_minute, file.last_minute, file.missing_minutes) == (1_440, 0, 1_439, 0)
    assert (file.traded_minutes, file.trades) == (1_439, 151_203)
    assert file.base_volume == pytest.approx(159_843_669.8)


def test_a_real_file_without_a_header() -> None:
    name = "BTCUSDT-1m-2020-01-01.zip"
    checksum = (DATA / f"{name}.CHECKSUM").read_bytes()
    file = inspect_minutes((DATA / name).read_bytes(), name, day("2020-01-01"), checksum)
    assert (file.fault, file.has_header, file.time_unit, file.checksum) == (None, False, "ms", "agrees")
    assert (file.rows, file.traded_minutes, file.trades) == (1_440, 1_440, 194_010)
    other = inspect_minutes((DATA / name).read_bytes(), name, day("2020-01-02"), checksum)
    assert (other.fault, other.rows, other.missing_minutes) == (Fault.WRONG_DAY, 0, 1_440)


def test_a_real_file_in_microseconds() -> None:
    name = "BTCUSDT-1h-2026-05-08.zip"
    klines = read_klines(unpack((DATA / name).read_bytes(), name).text)
    assert (klines.time_unit, klines.has_header, klines.faults) == ("us", False, set())
    start = day_number(day("2026-05-08")) * DAY_MS
    assert klines.table["open_time"].to_pylist() == [start + 60 * MINUTE_MS * hour for hour in range(24)]


def test_real_daily_bars() -> None:
    text = (DATA / "BTCUSDT-1d-rows.csv").read_text()
    body = packed(text, "BTCUSDT-1d-2020-01.csv")
    days = DayRange(day("2020-01-01"), day("2020-01-31"))
    bars, fault = read_bars(body, "BTCUSDT-1d-2020-01.zip", days)
    assert (bars.schema, fault) == (BARS, Fault.WRONG_DAY)  # the third row is of another year
    first = bars.to_pylist()[0]
    assert (first["date"], first["open"], first["close"]) == (day("2020-01-01"), 7189.43, 7197.57)
    assert (first["base_volume"], first["quote_volume"], first["trades"]) == (
        56801.329,
        409678760.56957,
        101871,
    )
    assert (first["taker_buy_base_volume"], first["taker_buy_quote_volume"]) == (28834.2, 208001969.84595)
    assert bars["date"].to_pylist() == [day("2020-01-01"), day("2020-01-02")]


def test_bars_in_microseconds() -> None:
    rows = [row(1000 * (JANUARY + DAY_MS * at)) for at in range(31)]
    bars, fault = read_bars(
        packed("".join(rows), "A-1d-2024-01.csv"),
        "A-1d-2024-01.zip",
        DayRange(day("2024-01-01"), day("2024-01-31")),
    )
    assert (fault, bars.num_rows, bars["date"][-1].as_py()) == (None, 31, day("2024-01-31"))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_the_simulators_truth(server: ObservedServer, session: Session, symbol: str) -> None:
    folder = server.archive.folder(symbol)
    assert folder is not None
    for month in server.archive.monthly_bars.files(symbol)[::5]:
        days = DayRange(month, (month + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1))
        fetched = get(session, f"{server.url}/{key(symbol, '1d', f'{month:%Y-%m}', 'monthly')}")
        assert fetched is not None
        bars, fault = read_bars(fetched.body, f"{symbol}-1d-{month:%Y-%m}.zip", days)
        assert fault is None
        assert bars["date"].to_pylist() == [each for each in days if each in server.archive.files(symbol)]
        for read in bars.to_pylist():
            bar = folder.bar(day_number(read["date"]))
            assert read["trades"] == bar.trades
            assert read["quote_volume"] == bar.quote / 10**QUOTE_DIGITS
            assert read["base_volume"] == bar.base / 10**bar.lot_digits
            assert read["close"] == bar.close / 10**bar.price_digits


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_minutes_are_the_simulators_truth(server: ObservedServer, session: Session, symbol: str) -> None:
    folder, days = server.archive.folder(symbol), server.archive.files(symbol)
    assert folder is not None
    for date in (days[0], days[1], days[len(days) // 2], days[-1]):
        url = f"{server.url}/{key(symbol, '1m', str(date))}"
        fetched, checksum = get(session, url), get(session, f"{url}.CHECKSUM")
        assert fetched is not None
        assert checksum is not None
        name = f"{symbol}-1m-{date}.zip"
        file = inspect_minutes(fetched.body, name, date, checksum.body)
        bar = folder.bar(day_number(date))
        assert (file.fault, file.checksum, file.trades) == (None, "agrees", bar.trades)
        assert file.quote_volume == pytest.approx(bar.quote / 10**QUOTE_DIGITS)
        with zipfile.ZipFile(io.BytesIO(fetched.body)) as zipped:
            rows = list(csv.reader(io.TextIOWrapper(zipped.open(zipped.namelist()[0]))))
        assert file.rows == len(rows) - bool(file.has_header)
        assert file.missing_minutes == 1_440 - file.rows
        assert file.traded_minutes == sum(row[8].isdigit() and int(row[8]) > 0 for row in rows)


def test_holes_duplicates_and_disorder_of_minutes_are_counted() -> None:
    rows = [row(JANUARY + MINUTE_MS * at, 0 if at % 2 else 2) for at in range(1_440)]
    chosen = [*rows[10:20], rows[15], rows[14], *rows[30:40]]
    file = inspect_minutes(minutes(chosen), "BTCUSDT-1m-2024-01-01.zip", day("2024-01-01"))
    assert (file.rows, file.duplicate_minutes, file.unordered_minutes) == (22, 2, 2)
    assert (file.first_minute, file.last_minute, file.missing_minutes) == (10, 39, 1_420)
    assert (file.traded_minutes, file.base_volume, file.trades) == (10, 20.0, 60)
    assert (file.fault, file.quote_volume) == (Fault.DUPLICATE_ROWS, 20 * 100.5)


def test_an_unreadable_file_has_no_figures() -> None:
    file = inspect_minutes(b"PK", "BTCUSDT-1m-2024-01-01.zip", day("2024-01-01"), b"nothing")
    assert (file.fault, file.checksum, file.rows, file.missing_minutes) == (
        Fault.SHORT_BODY,
        "disagrees",
        0,
        1_440,
    )
    assert (file.first_minute, file.has_header, file.time_unit) == (None, None, None)
