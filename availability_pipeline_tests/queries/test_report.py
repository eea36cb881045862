"""The report: its numbers are those of the queries, its page stands alone in a real browser, whatever it names."""

from __future__ import annotations

import datetime as dt
import functools
import http.server
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from statistics import quantiles
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from availability_pipeline import AvailabilityQueries
from availability_pipeline.cli.main import cli
from availability_pipeline.collecting.report import FILE, make_report, render, text_of_report
from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.queries.report.charts import STATES
from availability_pipeline.queries.report.data import LAG_DAYS, RECENT_DAYS, ROWS, Overview, ReportQueries
from availability_pipeline.queries.report.page import page
from availability_pipeline.queries.report.picture import picture
from availability_pipeline.settings import Settings
from availability_pipeline_tests.browser import CHROMIUM, Page, open_page
from availability_pipeline_tests.demo_data import Demo
from availability_pipeline_tests.publishing import sample
from charts.__main__ import TARGET
from charts.definitions import charts, compiled

CHARTS = {"calendar", "lives", "universe", "listings", "concentration", "lag"}

AXE = Path(os.environ.get("AXE_PATH", ""))
"""axe.min.js of axe-core, a package of npm."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, a Debian package")


@pytest.fixture(scope="module")
def settings(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo, whose generations a report may be added to."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(demo.settings.data_dir, folder / "data", symlinks=True)
    return replace(demo.settings, data_dir=folder / "data", db_path=folder / "data" / "availability.duckdb")


@pytest.fixture(scope="module")
def made(settings: Settings) -> Path:
    return make_report(settings).path


@pytest.fixture(scope="module")
def overview(settings: Settings) -> Overview:
    with ReportQueries(settings=settings) as queries:
        return queries.read_overview()


def specs_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="specs">(.*?)</script>', text)
    assert found
    specs: dict[str, Any] = json.loads(found[1])
    return specs


def rows_of(text: str, chart: str) -> list[dict[str, Any]]:
    [rows] = [source["values"] for source in specs_of(text)[chart]["data"] if "values" in source]
    return list(rows)


def test_numbers_are_those_of_the_queries(settings: Settings, overview: Overview) -> None:
    with AvailabilityQueries(settings=settings) as queries:
        summary = queries.get_availability_summary()
        episodes = queries.get_lifecycle()
    by_day = {day["date"]: day for day in summary}
    for day in overview.calendar:
        expected = by_day[day["date"]]
        assert [day[name] for name in ("files", "pending", "missing", "flat", "published")] == [
            expected[name] for name in ("file_count", "pending", "missing", "flat", "published")
        ]
    assert overview.files == sum(day["file_count"] for day in summary)
    assert overview.bytes == sum(day["bytes"] for day in summary)
    recent = summary[-RECENT_DAYS:]
    files = sum(day["file_count"] for day in recent)
    assert overview.completeness == files / (files + sum(day["pending"] + day["missing"] for day in recent))
    assert sum(month["contracts"] for month in overview.listings if month["what"] == "listings") == len(
        episodes
    )
    assert {span["symbol"] for span in overview.lives} == {episode["symbol"] for episode in episodes}
    lived = {
        (span["symbol"], span["start"] + dt.timedelta(days=number)): span["status"]
        for span in overview.lives
        for number in range((span["stop"] - span["start"]).days)
    }
    flat = sum(status == "flat" for status in lived.values())
    assert flat == sum(day["flat"] for day in summary)


def test_lags_are_the_hours_to_the_first_files_of_a_day(settings: Settings, overview: Overview) -> None:
    with AvailabilityQueries(settings=settings) as queries:
        moments = queries.sql("""
            SELECT date, symbol, last_modified AS moment FROM availability_by_date WHERE available
            UNION ALL
            SELECT date, symbol, old_last_modified FROM availability_changes WHERE old_last_modified IS NOT NULL
        """)
    first: dict[tuple[dt.date, str], dt.datetime] = {}
    for row in moments:
        key = row["date"], row["symbol"]
        first[key] = min(row["moment"], first.get(key, row["moment"]))
    hours: dict[dt.date, list[float]] = {}
    for (day, _), moment in first.items():
        midnight = dt.datetime.combine(day, dt.time()) + dt.timedelta(days=1)
        hours.setdefault(day, []).append((moment - midnight) / dt.timedelta(hours=1))
    last = overview.calendar[-1]["date"]
    days = [day for day in sorted(hours) if day > last - dt.timedelta(days=LAG_DAYS)]
    assert len(hours) > len(days) > 1
    assert [row["date"] for row in overview.lag] == days
    for row in overview.lag:
        # The 19th of 20 quantiles is the 95th percentile.
        twentieths = quantiles(hours[row["date"]], n=20, method="inclusive")
        assert (row["p50"], row["p95"]) == pytest.approx((twentieths[9], twentieths[18]))


def test_shares_are_those_of_the_largest_contracts(settings: Settings, overview: Overview) -> None:
    with AvailabilityQueries(settings=settings) as queries:
        bars = queries.sql("SELECT date, symbol, quote_volume FROM daily_volume")
    traded: dict[dt.date, dict[str, float]] = {}
    for bar in bars:
        of_month = traded.setdefault(bar["date"].replace(day=1), {})
        of_month[bar["symbol"]] = of_month.get(bar["symbol"], 0) + bar["quote_volume"]
    shares = {(row["month"], row["what"]): row["share"] for row in overview.concentration}
    assert {month for month, _ in shares} == set(traded)
    for month, of_contracts in traded.items():
        values = sorted(of_contracts.values(), reverse=True)
        for top in (10, 50, 100):
            assert shares[month, f"top {top}"] == pytest.approx(sum(values[:top]) / sum(values))


def test_the_newest_incomplete_files_come_first(tmp_path: Path) -> None:
    with sample.working_database(tmp_path) as working:
        working.execute("""
            INSERT INTO file_contents BY NAME
            SELECT
                date, symbol, file_size_bytes, last_modified, last_modified AS inspected_at, 'agrees' AS checksum,
                1439 AS rows, 0 AS first_minute, 1439 AS last_minute, 1 AS missing_minutes,
                0 AS duplicate_minutes, 0 AS unordered_minutes,
                1439 AS traded_minutes, 7 AS base_volume, 8 AS quote_volume, 9 AS trades, false AS has_header,
                if(symbol = 'LUNAUSDT', 'complete', 'gaps') AS verdict
            FROM availability WHERE available ORDER BY date, symbol
        """)
    with ReportQueries(sample.republish(tmp_path)) as queries:
        shown = queries.read_overview().tables["Incomplete files"]
    expected = [
        (day, name) for day, name in sample.sample_files() if name in sample.SPANS and name != "LUNAUSDT"
    ]
    newest = sorted(sorted(expected, key=itemgetter(1)), key=itemgetter(0), reverse=True)[:ROWS]
    assert [(row["date"], row["symbol"]) for row in shown] == newest
    assert {(row["verdict"], row["checksum"], row["rows"], row["missing_minutes"]) for row in shown} == {
        ("gaps", "agrees", 1439, 1)
    }


def test_the_page_says_and_shows_the_same_numbers(made: Path, overview: Overview) -> None:
    text = made.read_text("utf-8")
    assert made.name == FILE
    assert len(text.encode()) < 3_000_000
    assert specs_of(text).keys() == CHARTS
    assert len(rows_of(text, "calendar")) == len(overview.calendar)
    assert len(rows_of(text, "lives")) == len(overview.lives)
    for said in (f"{overview.files:,}", str(overview.through), f"{overview.completeness:.2%}"):
        assert f"<dd>{said}</dd>" in text
    assert 'href="availability.duckdb"' in text
    assert f"Generation {made.parent.name}." in text
    body = text.partition('<script type="application/json"')[0]
    assert not re.search(r'(src|href)="(?!availability|manifest|\w+\.parquet)', body)


def test_the_charts_in_the_package_are_what_their_definitions_compile_to() -> None:
    """`make charts` writes them anew."""
    assert json.loads(TARGET.read_text("utf-8")) == compiled()
    assert charts().keys() == CHARTS


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_a_chart_is_valid_vega_lite(name: str) -> None:
    charts()[name].to_dict()  # validates


LAST_DAYS = {
    (29, 0, 1): ("some missing", "·", "black"),
    (2, 0, 28): ("many missing", "×", "white"),
    (0, 30, 0): ("pending", "…", "black"),
    (0, 0, 30): ("nothing published", "–", "white"),
    (28, 2, 0): ("pending", "…", "black"),
}
"""By numbers of files that are there, pending and missing: what is drawn of a day."""


def test_the_picture_has_every_day_in_its_place(overview: Overview) -> None:
    days = [{**day, "pending": 0, "missing": 0} for day in overview.calendar]
    del days[30]  # never collected
    assert all(day["files"] for day in days)
    for day, numbers in zip(days[-len(LAST_DAYS) :], LAST_DAYS, strict=True):
        day |= dict(zip(("files", "pending", "missing"), numbers, strict=True), expected=30)
    expected = {place_of(day["date"], days[0]["date"]): ("complete",) for day in days}
    expected |= zip(list(expected)[-len(LAST_DAYS) :], LAST_DAYS.values(), strict=True)
    svg = ET.fromstring(picture(days))  # noqa: S314 - our own
    years = {text.text for text in svg.iterfind("*/{*}text")}
    assert years == {str(day["date"].year) for day in days}
    assert drawn_in(svg) == expected


def place_of(day: dt.date, first: dt.date) -> tuple[int, int]:
    """Column and row of a day."""
    new_year = day.replace(month=1, day=1)
    monday = new_year - dt.timedelta(days=new_year.weekday())
    return (day - monday).days // 7, (day.year - first.year) * 8 + day.weekday()


def drawn_in(svg: ET.Element) -> dict[tuple[int, int], tuple[str, ...]]:
    """By column and row: the state, and its sign with its colour."""
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    states = {colour: state for state, colour in STATES.items()}
    for line in svg.iterfind("{*}path[@stroke]"):
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)", line.attrib["d"]):
            row, column = (int(y) - 8) // 6, (int(x) - 36) // 12
            for week in range(column, column + int(length) // 12):
                assert (week, row) not in found
                found[week, row] = (states[line.attrib["stroke"]],)
    for text in svg.iterfind("{*}text"):
        places = zip(text.attrib["x"].split(), text.attrib["y"].split(), text.text or "", strict=True)
        for x, y, sign in places:
            found[(int(x) - 42) // 12, (int(y) - 11) // 6] += (sign, text.attrib["fill"])
    return found


def test_names_cannot_leave_their_place(overview: Overview) -> None:
    name = '</script><script>alert("1")</script>'
    lives = [{**overview.lives[0], "symbol": name}]
    tables = {"New contracts": [{"symbol": name, "first_day": dt.date(2024, 1, 1)}]}
    text = page(replace(overview, lives=lives, tables=tables), "/* bundle */", {name: name})
    assert name not in text
    assert text.count("<script") == 3
    assert rows_of(text, "lives")[0]["symbol"] == name


def test_a_report_goes_where_it_is_told_to(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "page.html"

    def run(*arguments: str) -> Result:
        environ = {"AVAILABILITY_DB_PATH": str(settings.db_path), "AVAILABILITY_DATA_DIR": str(tmp_path)}
        return CliRunner(env=environ).invoke(cli, ["report", *arguments], catch_exceptions=False)

    assert run("--output", str(target)).stdout == f"{target}\n"
    text = target.read_text("utf-8")
    assert "Beside this page" not in text
    assert run("--output", "-").stdout == text
    for arguments, why in {
        ("--output", str(target)): f"{target} exists already; pass --force to replace it",
        ("--output", "-", "--open"): "--open needs a file",
        ("--output", str(tmp_path / "nowhere" / "page.html")): "cannot be made",
    }.items():
        refused = run(*arguments)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.output
    with pytest.raises(PublishedDatabaseError, match="there is no published database"):
        text_of_report(replace(settings, db_path=tmp_path / "none.duckdb"))


@pytest.fixture(scope="module", params=[("file", 390), ("http", 1280), ("file", 1920)], ids=str)
def opened(
    made: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The page in a browser, drawn, from disk and from a server."""
    profile = tmp_path_factory.mktemp("profile")
    how, width = request.param
    if how == "file":
        with open_page(made.as_uri(), profile, width=width) as found:
            found.wait_for("document.documentElement?.dataset.drawn")
            yield found
        return
    handler = functools.partial(Quiet, directory=str(made.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_page(f"http://127.0.0.1:{server.server_port}/{FILE}", profile, width=width) as found:
            found.wait_for("document.documentElement?.dataset.drawn")
            yield found
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves without a log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@needs_chromium
def test_the_page_needs_nothing_else_and_complains_of_nothing(opened: Page) -> None:
    # A server may be asked for its icon.
    asked = [url for url in opened.requested if not url.endswith("/favicon.ico")]
    assert [url.rsplit("/", 1)[1] for url in asked] == [FILE]
    assert [problem for problem in opened.problems if "favicon" not in problem] == []


@needs_chromium
def test_every_chart_has_marks_and_none_is_wider_than_the_page(opened: Page) -> None:
    for chart in CHARTS:
        marks = opened.evaluate(f'document.querySelectorAll("#{chart} svg .role-mark path").length')
        assert marks, chart
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@needs_chromium
def test_the_search_finds_contracts_of_any_script(opened: Page) -> None:
    count = 'new Set([...document.querySelectorAll("#lives .role-axis-label text")].map(each => each.textContent))'
    opened.evaluate(
        'const field = document.querySelector("#lives-controls input"); field.value = "币安人生"; '
        'field.dispatchEvent(new Event("input", {bubbles: true})); 0'
    )
    assert opened.wait_for(f'[...{count}].filter(each => each.includes("USDT")).join() == "币安人生USDT"')
    opened.evaluate('field.value = ""; field.dispatchEvent(new Event("input", {bubbles: true})); 0')


@needs_chromium
@pytest.mark.skipif(
    not AXE.is_file(), reason="needs axe-core, a package of npm; AXE_PATH names its axe.min.js"
)
def test_the_page_is_accessible(opened: Page) -> None:
    opened.evaluate(f"{AXE.read_text('utf-8')}; 0")
    found = opened.evaluate(
        "axe.run().then(result => JSON.stringify(result.violations.map(each => each.id)))"
    )
    assert json.loads(found) == []


@needs_chromium
def test_a_hover_over_a_day_names_what_it_lacks(
    settings: Settings, overview: Overview, tmp_path: Path
) -> None:
    *days, last = overview.calendar
    lacking = {**last, "files": 15, "missing": 2, "expected": 17, "lacking": "币安人生USDT, SOLUSDT"}
    text = render(replace(overview, calendar=[*days, lacking]), settings, {})
    (tmp_path / FILE).write_text(text, "utf-8")
    with open_page((tmp_path / FILE).as_uri(), tmp_path / "profile") as opened:
        opened.wait_for("document.documentElement?.dataset.drawn")
        place = opened.evaluate(
            'const cells = [...document.querySelectorAll("#calendar .mark-rect path")]; '
            "const box = cells[cells.length - 1].getBoundingClientRect(); "
            "[box.x + box.width / 2, box.y + box.height / 2 + window.scrollY]"
        )
        x, y = place
        opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        shown = opened.wait_for('document.querySelector("#vg-tooltip-element.visible")?.textContent')
    assert str(last["date"]) in shown
    assert "币安人生USDT, SOLUSDT" in shown
