"""`validate`: all checks over the whole table, as a report."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from availability_pipeline.cli.help import example
from availability_pipeline.cli.output import plain


@click.command(epilog=example("validate", "validate --format json"))
@click.option(
    "--format",
    "chosen",
    type=click.Choice(("table", "json")),
    help="Default: table on a terminal, json otherwise.",
)
@click.pass_context
def validate(context: click.Context, chosen: str | None) -> None:
    """Run all checks over the whole table.

    Exit code 1 if a check of severity ERROR fails. It reads the working database, so it waits while a run writes, and
    asks exchangeInfo once. json is one object with validation_passed, errors, warnings and checks.
    """
    from availability_pipeline.validation.guard import AvailabilityValidator  # noqa: PLC0415 - needs DuckDB

    report = AvailabilityValidator().run_all_validations()
    if (chosen or ("table" if sys.stdout.isatty() else "json")) == "json":
        click.echo(json.dumps(report, ensure_ascii=False, default=plain, indent=2))
    else:
        _print(report)
    sys.stdout.flush()
    context.exit(0 if report["validation_passed"] else 1)


def _print(report: dict[str, Any]) -> None:
    width = max(len(check["name"]) for check in report["checks"])
    for check in report["checks"]:
        result = "ok" if check["passed"] else str(check["severity"])
        click.echo(f"{result:6} {check['name']:{width}} {check['summary']}")
    passed = sum(check["passed"] for check in report["checks"])
    click.echo(f"{passed} checks passed, {report['warnings']} warned, {report['errors']} failed")
