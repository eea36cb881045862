"""The checks of `symbol_lifecycle`: do the derived tables fit the rows, and what is known of the market?"""

from collections.abc import Iterator

import dagster as dg

from availability_pipeline.checks.results import result_of
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.validation import Scope
from availability_pipeline.validation.validator import OF_THE_LIFECYCLE

ASSET = "symbol_lifecycle"


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name, asset=ASSET, description=(check.__doc__ or "").split("\n")[0])
        for name, check in OF_THE_LIFECYCLE.items()
    ],
    can_subset=True,
    pool=WRITERS_POOL,
)
def symbol_lifecycle_checks(
    context: dg.AssetCheckExecutionContext, settings: PipelineSettings, working_database: WorkingDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Look at the derived tables, whatever the days of the run."""
    with failures_reported(context):
        scope = Scope(settings.load())
        selected = {key.name for key in context.selected_asset_check_keys}
        with working_database.get_connection() as connection:
            for name, check in OF_THE_LIFECYCLE.items():
                if name in selected:
                    yield result_of(check(connection, scope), ASSET)
