"""How a run tells a check what to look at, and how a finding becomes the result of an asset check."""

from collections.abc import Iterator, Mapping

import dagster as dg

from availability_pipeline.partitions import window_of
from availability_pipeline.settings import Settings
from availability_pipeline.symbol_names import folded
from availability_pipeline.validation import Finding, Scope, Severity

_SEVERITIES = {Severity.WARN: dg.AssetCheckSeverity.WARN, Severity.ERROR: dg.AssetCheckSeverity.ERROR}


def scope_of_run(context: dg.AssetCheckExecutionContext, settings: Settings) -> Scope:
    """The window, the contracts and the ledger's entries of a run; everything in one that only checks.

    A check has no partitions of its own, so what the run is about is read from its tags and its configuration.
    """
    days = window_of(context.run.tags)
    if days is None:
        return Scope(settings)
    return Scope(settings, days, _selected_symbols(context.run.run_config), context.run.run_id)


def _selected_symbols(run_config: Mapping[str, object]) -> tuple[str, ...]:
    config: object = run_config
    for key in ("ops", "daily_availability", "config", "symbols"):
        config = config.get(key) if isinstance(config, Mapping) else None
    return tuple(folded(str(symbol)) for symbol in config) if isinstance(config, list | tuple) else ()


def result_of(finding: Finding, asset: str) -> dg.AssetCheckResult:
    """A finding for Dagster: its sentence, its numbers (which the UI plots over time), its offenders as a table."""
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.float(value) if isinstance(value, float) else dg.MetadataValue.int(value)
        for name, value in finding.numbers.items()
    }
    if finding.offenders:
        metadata["offenders"] = dg.MetadataValue.md("\n".join(_table(finding)))
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=finding.name,
        passed=finding.passed,
        severity=_SEVERITIES[finding.severity],
        description=finding.summary,
        metadata=metadata,
    )


def _table(finding: Finding) -> Iterator[str]:
    columns = list(finding.offenders[0])
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for offender in finding.offenders:
        yield f"| {' | '.join('' if offender[column] is None else str(offender[column]) for column in columns)} |"
