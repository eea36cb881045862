"""The asset checks of a dataset, made from the checks of `quality`."""

from collections.abc import Iterator, Mapping

import dagster as dg

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.dates import utc_now
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.names import asset_key, prefixed, step_name, writers_pool
from availability_pipeline.defs.partitions import window_of
from availability_pipeline.defs.resources import PipelineSettings, resource_keys, resources_of
from availability_pipeline.defs.runs import update_records
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.quality.check import Finding, Scope, Severity, all_checks
from availability_pipeline.queries.service_levels import ServiceLevels, compute, window, write
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import folded

_SEVERITIES = {Severity.WARN: dg.AssetCheckSeverity.WARN, Severity.ERROR: dg.AssetCheckSeverity.ERROR}

_LEVELS = ("updates_completed", "recall", "lag_p50_hours", "lag_p95_hours", "days", "recall_evaluations")


def make_checks(dataset: Dataset) -> list[dg.AssetChecksDefinition]:
    """All asset checks of a dataset."""
    assets = dict.fromkeys(each.asset for each in all_checks(dataset))
    own = [_checks(dataset, asset) for asset in assets]
    return [*own, _service_levels(dataset)] if dataset.goes_on else own


def _checks(dataset: Dataset, asset: str) -> dg.AssetChecksDefinition:
    """The asset checks of one asset, from the registry.

    They share one connection and the pool of the writers, and single ones can be executed. A blocking one that fails
    keeps the assets downstream in the same run from being materialized.
    """
    checks = [each for each in all_checks(dataset) if each.asset == asset]
    key = asset_key(dataset, asset)
    specs = [
        dg.AssetCheckSpec(each.name, asset=key, blocking=each.blocking, description=each.description)
        for each in checks
    ]

    @dg.multi_asset_check(
        name=prefixed(dataset, f"{asset}_checks"),
        specs=specs,
        can_subset=True,
        pool=writers_pool(dataset),
        required_resource_keys=resource_keys(dataset),
    )
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Look at the window of the run, or at the whole table in a run that only checks."""
        settings, working_database, _ = resources_of(context, dataset)
        with failures_reported(context):
            scope = _scope_of_run(context, settings.load(dataset))
            selected = {each.name for each in context.selected_asset_check_keys}
            with working_database.get_connection() as connection:
                for each in checks:
                    if each.name in selected:
                        yield _result_of(each(connection, scope), key)

    return evaluate


def _scope_of_run(context: dg.AssetCheckExecutionContext, settings: Settings) -> Scope:
    """The window, the contracts and the ledger's entries of a run; everything in one that only checks.

    A check has no partitions of its own, so what the run is about is read from its tags and its configuration.
    """
    days = window_of(context.run.tags)
    if days is None:
        return Scope(settings)
    return Scope(
        settings, days, _selected_symbols(settings.dataset, context.run.run_config), context.run.run_id
    )


def _selected_symbols(dataset: Dataset, run_config: Mapping[str, object]) -> tuple[str, ...]:
    config: object = run_config
    for key in ("ops", step_name(dataset, "daily_availability"), "config", "symbols"):
        config = config.get(key) if isinstance(config, Mapping) else None
    return tuple(folded(str(symbol)) for symbol in config) if isinstance(config, list | tuple) else ()


def _result_of(finding: Finding, asset: dg.AssetKey) -> dg.AssetCheckResult:
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


def _service_levels(dataset: Dataset) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset_key(dataset, "published_database"))
    def service_levels(
        context: dg.AssetCheckExecutionContext, settings: PipelineSettings
    ) -> dg.AssetCheckResult:
        """Updates completed in time (target 95 %) and recall (target above 95 %) over the last 30 days.

        A missed target is a warning. Publication lag in hours and the days still pending are for information.
        """
        try:
            loaded, now = settings.load(dataset), utc_now()
            records = update_records(context.instance, dataset, window(now.date()))
            levels = compute(records, loaded.db_file, now)
            write(levels, loaded.dataset_dir)
        except AvailabilityError as error:
            return _levels_result(f"The service levels could not be computed: {error}.")
        missed = ". ".join(sentence[0].upper() + sentence[1:] for sentence in levels.missed)
        return _levels_result(f"{missed}. In full: {levels}." if missed else f"{levels}.", levels)

    return service_levels


def _levels_result(description: str, levels: ServiceLevels | None = None) -> dg.AssetCheckResult:
    numbers = {name: getattr(levels, name) for name in _LEVELS} if levels else {}
    metadata = {name: value for name, value in numbers.items() if value is not None}
    if levels:
        metadata["pending_days"] = len(levels.pending_days)
        metadata["pending"] = ", ".join(levels.pending_days) or "none"
        metadata["updates_missed"] = ", ".join(levels.updates_missed) or "none"
    return dg.AssetCheckResult(
        passed=levels is not None and not levels.missed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )
