"""The published database: an audited copy of the working one, swapped in by rename, which everybody reads.

What the file holds is decided in `content`, whether it can be trusted in `audit`, how it gets into its place in
`publication`, how it is opened in `opening`. Questions are `queries`' business. Nothing here knows Dagster or HTTP.
"""

from availability_pipeline.publishing.publication import PublishReport, check_target, publish

__all__ = ["PublishReport", "check_target", "publish"]
