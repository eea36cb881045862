"""The one job: discover, collect, publish, in one run over one partition or a range of them."""

import dagster as dg

from availability_pipeline.assets import ASSETS

availability_update = dg.define_asset_job(
    "availability_update",
    selection=dg.AssetSelection.assets(*ASSETS),
    description="Discover contracts, collect the days of the run, publish. Started by `backfill` and `update`.",
)
