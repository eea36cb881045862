"""The assets: thin bodies that read the context, call a plain function, and report what it did."""

import warnings

import dagster as dg

# Chosen knowingly: one run for a range is what makes a whole history feasible.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

from availability_pipeline.assets.daily_availability import daily_availability  # noqa: E402 - after the filter
from availability_pipeline.assets.published_database import published_database  # noqa: E402
from availability_pipeline.assets.symbol_lifecycle import symbol_lifecycle  # noqa: E402
from availability_pipeline.assets.symbols import symbols  # noqa: E402

ASSETS = (symbols, daily_availability, symbol_lifecycle, published_database)
