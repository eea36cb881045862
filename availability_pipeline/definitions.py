"""The code location that Dagster loads."""

from availability_pipeline.defs.factory import build_defs

defs = build_defs()
