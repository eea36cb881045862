"""The asset checks: thin bodies that ask `validation` and show Dagster what it found; no rule is written down here."""

from availability_pipeline.checks.daily_availability import daily_availability_checks
from availability_pipeline.checks.published_database import published_database_checks
from availability_pipeline.checks.service_levels import service_levels
from availability_pipeline.checks.symbol_lifecycle import symbol_lifecycle_checks

CHECKS = (daily_availability_checks, symbol_lifecycle_checks, published_database_checks, service_levels)
