"""The published database and its Parquet files: audited copies of the working one, which everybody reads.

What the database holds is decided in `content`, the Parquet files in `parquet`, whether a copy can be trusted in
`audit`, where it may go in `target`; `publication` puts the steps in order, `generations` decides which copy is read,
`place` says where copies are, `manifest` what they consist of, `opening` opens the database. Questions are `queries`'
business. Nothing here knows Dagster or HTTP.
"""

from availability_pipeline.publishing.generations import Rollback, rollback
from availability_pipeline.publishing.publication import PublishReport, publish, published_by
from availability_pipeline.publishing.target import check_target

__all__ = ["PublishReport", "Rollback", "check_target", "publish", "published_by", "rollback"]
