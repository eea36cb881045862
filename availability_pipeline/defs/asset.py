"""What every asset of a dataset has: its key, group, owners, pool and resources, and what the catalogue shows of it."""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from availability_pipeline.catalogue.columns import Column
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.defs.names import asset_key, writers_pool
from availability_pipeline.defs.resources import resource_keys
from availability_pipeline.settings import Settings

FROM_ARCHIVE: dict[str, Any] = {"kinds": {"s3", "duckdb"}, "tags": {"source": "binance"}}
"""What the assets that ask the archive have in common."""

_DOCS = {
    "symbol_lifecycle": "docs/reference/statuses.md",
    "published_database": "docs/guides/queries.md",
    "report": "docs/guides/report.md",
}
"""Where to read more of an asset, in the checkout."""


AssetDecorator = Callable[[Callable[..., object]], dg.AssetsDefinition]


def asset(
    dataset: Dataset, name: str, metadata: dict[str, Any] | None = None, **options: Any
) -> AssetDecorator:
    """`dagster.asset` with what every asset of a dataset has."""
    described: dict[str, Any] = {"docs": dg.MetadataValue.path(_DOCS.get(name, "docs/reference/tables.md"))}
    if name not in ("published_database", "report"):
        described["dagster/relation_identifier"] = f"availability.main.{name}"
    if options.get("kinds", set()) >= {"s3"}:
        described["dagster/uri"] = f"s3://{Settings.s3_bucket}/{dataset.root}"
    decorator: AssetDecorator = dg.asset(
        key=asset_key(dataset, name),
        group_name=dataset.market.name,
        owners=["team:market-data"],
        pool=writers_pool(dataset),
        required_resource_keys=resource_keys(dataset),
        metadata={**described, **(metadata or {})},
        **options,
    )
    return decorator


def column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """Columns as Dagster's catalogue shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.sql_type,
                column.meaning,
                dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )
