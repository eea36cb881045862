"""The report as one HTML file that needs nothing else: sentences, tables and the places of charts.

Scripts are named by their hashes in the page's content security policy, Vega evaluates its expressions without `eval`,
and every name is escaped, so that a contract may be called anything.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from availability_pipeline.queries.report.charts import STATES, STATUS_COLOURS, specs
from availability_pipeline.queries.report.data import LAG_DAYS, RECENT_DAYS, Overview, Rows
from availability_pipeline.symbols import counted

_START = """
const specs = JSON.parse(document.getElementById("specs").textContent);
Promise.all(Object.entries(specs).map(([name, spec]) => vegaEmbed("#" + name, spec, {
  ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: {disableDefaultStyle: true},
  bind: document.getElementById(name + "-controls"),
}))).then(() => { document.documentElement.dataset.drawn = "all"; });
"""
"""What draws the charts."""


def page(overview: Overview, bundle: str, links: Mapping[str, str], generation: str = "") -> str:
    """The page.

    Args:
        overview: What it shows.
        bundle: The JavaScript of Vega-Embed.
        links: Files beside it, by what they are called.
        generation: The generation that it is about, if that is known.
    """
    charts = specs(overview)
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=html.escape(f"Binance archive: {overview.dataset}"),
        script_hashes=" ".join(f"'sha256-{_hash(script)}'" for script in (bundle, _START)),
        body="\n".join(_body(overview, charts, links, generation)),
        # < would end the element in a name such as </script>.
        specs=json.dumps(charts, ensure_ascii=False, separators=(",", ":"), default=str).replace(
            "<", "\\u003c"
        ),
        bundle=bundle,
        start=_START,
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _body(
    overview: Overview, charts: Mapping[str, Any], links: Mapping[str, str], generation: str
) -> Iterator[str]:
    yield _head(overview, links, generation)
    for name, heading, sentence in _sections(overview):
        if name in charts:
            yield from _figure(name, heading, sentence)
    yield "<h2>What changed</h2>"
    for caption, rows in overview.tables.items():
        yield from _table(caption, rows)


def _head(overview: Overview, links: Mapping[str, str], generation: str) -> str:
    numbers = {
        "data through": str(overview.through),
        "contracts": f"{overview.contracts:,}",
        "files": f"{overview.files:,}",
        "size of the files": f"{overview.bytes / 1e9:,.1f} GB",
        f"complete, last {RECENT_DAYS} days": f"{overview.completeness:.2%}",
        "published (UTC)": f"{overview.published_at:%Y-%m-%d %H:%M}",
    }
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in numbers.items()
    )
    anchors = ", ".join(
        f'<a href="{html.escape(link)}">{html.escape(name)}</a>' for name, link in links.items()
    )
    about = f"Generation {html.escape(generation)}. " if generation else ""
    beside = f"Beside this page: {anchors}." if anchors else ""
    return f"<dl>{shown}</dl><p>{about}{beside}</p>"


def _sections(overview: Overview) -> Iterator[tuple[str, str, str]]:
    """The charts: id, heading and the sentence that says what is seen, with its numbers."""
    if not overview.calendar:
        return
    yield "calendar", "Is the archive complete?", _completeness(overview.calendar)
    yield "lives", "Which contracts lived when?", _contracts(overview.lives)
    yield "universe", "How large is the universe?", _size(overview.calendar[-1])
    added = sum(month["contracts"] for month in overview.listings if month["what"] == "listings")
    gone = -sum(month["contracts"] for month in overview.listings if month["what"] == "delistings")
    yield "listings", "What came and went?", f"{added:,} listings and {gone:,} delistings, by month."
    if overview.concentration:
        yield "concentration", "Where is the volume?", _largest(overview.concentration[-3:])
    if overview.lag:
        yield "lag", "When do files appear?", _hours(overview.lag[-1])


def _size(day: Mapping[str, Any]) -> str:
    return (
        f"On {day['date']}, {counted(day['files'], 'contract')} had a file, {day['published']:,} of them with trade "
        f"and {day['flat']:,} flat."
    )


def _hours(day: Mapping[str, Any]) -> str:
    return (
        f"Half of the files of {day['date']} were there {day['p50']:.1f} hours after the end of the day, 95 % after "
        f"{day['p95']:.1f} hours; the chart has the last {LAG_DAYS} days."
    )


def _completeness(days: Rows) -> str:
    empty = sum(not day["files"] and not day["pending"] for day in days)
    lacking = sum(bool(day["missing"] and day["files"]) for day in days)
    waiting = sum(bool(day["pending"]) and not (day["missing"] and day["files"]) for day in days)
    return (
        f"Of {counted(len(days), 'day')} since {days[0]['date']}, {len(days) - empty - lacking - waiting:,} have every "
        f"file that is expected; {lacking:,} lack some (·, × if more than 5 %), {empty:,} were never published (–), "
        f"and {waiting:,} are pending (…)."
    )


def _contracts(spans: Rows) -> str:
    every, ended = {span["symbol"] for span in spans}, {span["symbol"] for span in spans if span["ended"]}
    return (
        f"{counted(len(every), 'contract')} with a file, sorted by listing; {len(every) - len(ended):,} are open and "
        f"{len(ended):,} have ended."
    )


def _largest(shares: Rows) -> str:
    top = {row["what"]: row["share"] for row in shares}
    return (
        f"In {shares[0]['month']:%B %Y}, the 10 largest contracts had {top['top 10']:.0%} of the traded value, the 50 "
        f"largest {top['top 50']:.0%} and the 100 largest {top['top 100']:.0%}."
    )


def _figure(name: str, heading: str, sentence: str) -> Iterator[str]:
    yield f'<h2 id="{name}-heading">{heading}</h2><p>{html.escape(sentence)}</p>'
    if colours := {"calendar": STATES, "lives": STATUS_COLOURS}.get(name):
        keys = (f'<span><i style="background:{colour}"></i>{what}</span>' for what, colour in colours.items())
        yield f'<p class="keys">{"".join(keys)}</p>'
    chart = f'<div class="chart" id="{name}" role="img" aria-label="{html.escape(sentence)}"></div>'
    if name != "lives":
        yield f"<figure>{chart}</figure>"
        return
    yield '<form id="lives-controls"></form>'
    yield f'<figure class="tall" tabindex="0" role="region" aria-labelledby="lives-heading">{chart}</figure>'


def _table(caption: str, rows: Rows) -> Iterator[str]:
    yield f"<h3>{html.escape(caption)}</h3>"
    if not rows:
        yield "<p>None.</p>"
        return
    columns = list(rows[0])
    head = "".join(f'<th scope="col">{html.escape(column.replace("_", " "))}</th>' for column in columns)
    lines = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in rows)
    label = html.escape(caption)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    return "".join(f"<td>{html.escape(_text(row[column]))}</td>" for column in columns)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else str(value)
