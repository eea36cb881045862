"""The asset check `service_levels`: how well the pipeline and its source did over the last 30 days."""

import dagster as dg

from availability_pipeline.days import utc_now
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.resources import PipelineSettings
from availability_pipeline.service_levels import ServiceLevels, compute, window, write
from availability_pipeline.update_records import update_records

_NUMBERS = ("updates_completed", "recall", "lag_p50_hours", "lag_p95_hours", "days", "recall_evaluations")


@dg.asset_check(asset=dg.AssetKey("published_database"))
def service_levels(context: dg.AssetCheckExecutionContext, settings: PipelineSettings) -> dg.AssetCheckResult:
    """Updates completed in time (target 95 %) and recall (target above 95 %) over the last 30 days.

    A missed target is a warning. Publication lag in hours and the days still pending are for information.
    """
    try:
        loaded, now = settings.load(), utc_now()
        records = update_records(context.instance, window(now.date()))
        levels = compute(records, loaded.db_file, now)
        write(levels, loaded.data_dir)
    except AvailabilityError as error:
        return _result(f"The service levels could not be computed: {error}.")
    missed = ". ".join(sentence[0].upper() + sentence[1:] for sentence in levels.missed)
    return _result(f"{missed}. In full: {levels}." if missed else f"{levels}.", levels)


def _result(description: str, levels: ServiceLevels | None = None) -> dg.AssetCheckResult:
    numbers = {name: getattr(levels, name) for name in _NUMBERS} if levels else {}
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
