"""`status`: the extent of the published database, the last collections and the service levels."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from availability_pipeline.cli.options import chosen_settings, example
from availability_pipeline.cli.output import printed_as_json, report_format
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import SummaryRow
from availability_pipeline.queries.service_levels import TARGET, ServiceLevels, read, shown
from availability_pipeline.queries.status import Status


@click.command(epilog=example("status", "status --format json"))
@report_format
def status(chosen: str | None) -> None:
    """Show the extent of the published data, the last collections and the service levels.

    Data through is the last day collected for all contracts. Pending counts files that are expected and not there yet.
    The service levels are those of the last run. json is one object.
    """
    settings = chosen_settings()
    with AvailabilityQueries(settings=settings) as queries:
        found, path, size = queries.get_status(), queries.location, queries.path.stat().st_size
        days = [(day["date"], _of_day(day)) for day in queries.get_availability_summary()]
    facts = {"path": str(path), "size_bytes": size, **_facts(found)}
    levels = read(settings.dataset_dir)
    lists = {"pending": found.pending, "runs": found.runs, "service_levels": levels and asdict(levels)}
    if not printed_as_json(chosen, {**facts, **lists}):
        _print(facts, found, levels, days)
    sys.stdout.flush()


def _facts(found: Status) -> dict[str, Any]:
    publication = found.publication
    return {
        "data_through": found.complete_through,
        "last_file_day": publication.last_file_day,
        "first_day": publication.first_day,
        "rows": publication.row_count,
        "files": publication.file_count,
        "symbols": publication.symbol_count,
        "published_at": publication.published_at,
        "run_id": publication.run_id,
    }


def _of_day(day: SummaryRow) -> str:
    """The status of a day as a whole: that of its worst file."""
    if not day["file_count"]:
        return "pending" if day["pending"] else "missing" if day["missing"] else "not_listed"
    return "missing" if day["missing"] else "pending" if day["pending"] else "published"


def _print(
    facts: dict[str, Any], found: Status, levels: ServiceLevels | None, days: Sequence[tuple[dt.date, str]]
) -> None:
    from availability_pipeline.cli.strip import print_strip  # noqa: PLC0415 - rich is slow
    from availability_pipeline.cli.tables import cell, heading, print_table  # noqa: PLC0415 - rich is slow
    from availability_pipeline.collecting.reporting import console  # noqa: PLC0415 - as above

    output = console(sys.stdout)
    for name, value in facts.items():
        zone = " UTC" if isinstance(value, dt.datetime) else ""
        output.print(f"{heading(name):14} {cell(value)}{zone}", soft_wrap=True)
    output.print()
    print_strip(output, days)
    print_table(found.pending, "\nLast collected days", sys.stdout)
    print_table(_short(found.runs), "Last collections (UTC)", sys.stdout)
    if levels:
        title = f"Service levels, {levels.first_day} to {levels.last_day}"
        print_table(_rows(levels), title, sys.stdout)


def _rows(levels: ServiceLevels) -> list[dict[str, Any]]:
    lag = f"{shown(levels.lag_p50_hours, '.1f', ' h')}, {shown(levels.lag_p95_hours, '.1f', ' h')}"
    rows = [
        (f"updates in time, of {levels.days} days", shown(levels.updates_completed, ".1%"), f"{TARGET:.0%}"),
        ("recall", shown(levels.recall, ".1%"), f"> {TARGET:.0%}"),
        ("publication lag, p50 and p95", lag, ""),
        ("days pending", ", ".join(levels.pending_days) or "none", ""),
    ]
    return [dict(zip(("service_level", "value", "target"), row, strict=True)) for row in rows]


def _short(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns that fit into 80 characters; json has all."""
    return [
        {
            "finished": f"{run['finished_at']:%Y-%m-%d %H:%M}",
            "days": f"{run['window_start']} to {run['window_end']}",
            "rows": run["rows_written"],
            "changes": run["changes"],
            "run": run["run_id"][:8],
        }
        for run in runs
    ]
