"""The checks of `published_database`: do readers have what was audited?"""

from collections.abc import Iterator

import dagster as dg

from availability_pipeline.checks.results import result_of, scope_of_run
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.validation.validator import OF_THE_PUBLICATION

ASSET = "published_database"


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name, asset=ASSET, description=(check.__doc__ or "").split("\n")[0])
        for name, check in OF_THE_PUBLICATION.items()
    ],
    can_subset=True,
    pool=WRITERS_POOL,
)
def published_database_checks(
    context: dg.AssetCheckExecutionContext, settings: PipelineSettings, working_database: WorkingDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Compare what readers open with the working database."""
    with failures_reported(context):
        scope = scope_of_run(context, settings.load())
        with working_database.get_connection() as connection:
            for check in OF_THE_PUBLICATION.values():
                yield result_of(check(connection, scope), ASSET)
