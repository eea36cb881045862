"""The checks of `daily_availability`: is the table right, and is it complete?

Those that block keep `published_database` of the same run from publishing.
"""

from collections.abc import Iterator

import dagster as dg

from availability_pipeline.checks.results import result_of, scope_of_run
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.validation.validator import BLOCKING, REPORTING, evaluate

ASSET = "daily_availability"

_CHECKS = {**BLOCKING, **REPORTING}


def _spec(name: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name, asset=ASSET, blocking=name in BLOCKING, description=(_CHECKS[name].__doc__ or "").split("\n")[0]
    )


@dg.multi_asset_check(specs=[_spec(name) for name in _CHECKS], can_subset=True, pool=WRITERS_POOL)
def daily_availability_checks(
    context: dg.AssetCheckExecutionContext, settings: PipelineSettings, working_database: WorkingDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Look at the window of the run, or at the whole table in a run that only checks."""
    with failures_reported(context):
        scope = scope_of_run(context, settings.load())
        selected = {key.name for key in context.selected_asset_check_keys}
        with working_database.get_connection() as connection:
            for name, check in _CHECKS.items():
                if name in selected:
                    yield result_of(evaluate(name, check, connection, scope), ASSET)
