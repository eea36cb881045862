"""Questions across datasets: what each has of a contract, and what is collected of the catalogue."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from availability_pipeline.catalogue.datasets import DATASETS, Dataset
from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.publishing.remote.cache import published_file
from availability_pipeline.queries.columns import (
    CoverageRow,
    DatasetRow,
    columns_of,
)
from availability_pipeline.queries.reader import R, Reader
from availability_pipeline.queries.result import Result
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import known, suggestion

if TYPE_CHECKING:
    import pyarrow as pa

_COVERAGE = """
SELECT
    symbol, first_file_day AS first_day, last_file_day AS last_day, file_count,
    coalesce((
        SELECT sum(spans.last_day - spans.first_day + 1) FROM published.status_spans AS spans
        WHERE spans.symbol = contracts.symbol AND status = 'missing'
    ), 0)::BIGINT AS missing_days
FROM published.published_symbols AS contracts WHERE symbol = ?
"""

_CONTRACTS = "SELECT symbol FROM published.published_symbols"


def published_files(settings: Settings, leave_out: Dataset | None = None) -> dict[str, Path]:
    """The published databases of all datasets of which there is one, by name in the order of the catalogue.

    The one that is open already can be left out, and is then not asked for.

    Where published data is read from a URL, those that AVAILABILITY_DATASETS names are looked for there.
    """
    found = {}
    for name, dataset in DATASETS.items():
        if dataset == leave_out:
            continue
        location = settings.of_dataset(dataset).db_path
        if isinstance(location, Path):
            if location.exists():
                found[name] = location
        elif name in settings.datasets:
            try:
                found[name] = published_file(location, settings)
            except PublishedDatabaseError:
                continue
    return found


def other_files(dataset: Dataset, path: Path, settings: Settings | None) -> dict[str, Path]:
    """The published databases of other datasets than that of an open one.

    Args:
        dataset: The dataset of the open one.
        path: Its file.
        settings: Where the others are; None for a file that was opened by its path, beside which they are.
    """
    if settings is None:
        possible = [Settings(data_dir=each, db_path=each / path.name) for each in path.parents]
        fitting = (each for each in possible if each.of_dataset(dataset).dataset_dir == path.parent)
        settings = next(fitting, possible[0])
    found = published_files(settings, leave_out=dataset)
    return {name: file for name, file in found.items() if file != path}


class CoverageQueries(Reader):
    """Queries across datasets."""

    def get_coverage(self, symbol: str) -> Result[CoverageRow]:
        """From when to when each collected dataset has files of a contract, and how many are missing, by dataset.

        Args:
            symbol: The contract, in any spelling.

        Raises:
            UsageError: No dataset has such a contract; the message has similar names.
            PublishedDatabaseError: The published database of a dataset cannot be read.

        Example:
            >>> [found] = queries.get_coverage("lunausdt")
            >>> found["dataset"], found["last_day"], found["missing_days"]
            ('um/klines/1m', datetime.date(2022, 5, 13), 0)
        """
        if not isinstance(symbol, str):
            self._known_symbol(symbol)
        rows: list[CoverageRow] = []
        names = set(self._first_days)
        files = {self.dataset.name: self.path, **other_files(self.dataset, self.path, self._settings)}
        for dataset in sorted(files, key=list(DATASETS).index):
            with_rows, contracts = _of_contract(dataset, files[dataset], symbol)
            rows += with_rows
            names |= contracts
        if not rows:
            raise UsageError(f"no contract is called {symbol!r}{suggestion(symbol, names)}")
        return _result(CoverageRow, rows)


def _of_contract(dataset: str, path: Path, symbol: str) -> tuple[list[CoverageRow], set[str]]:
    """The row of a contract in a dataset, if it has it, and all contracts that it has."""
    connection, publication = open_published(path)
    with closing(connection), reading(path):
        contracts = {name for (name,) in connection.execute(_CONTRACTS).fetchall()}
        name = known(symbol, contracts)
        if name is None:
            return [], contracts
        found = connection.execute(_COVERAGE, [name]).fetchall()
    through = publication.data_through
    return [
        CoverageRow(
            dataset=dataset, symbol=name, first_day=first, last_day=last, file_count=files, missing_days=missing,
            data_through=through,
        )
        for name, first, last, files, missing in found
    ], contracts  # fmt: skip


def get_datasets(settings: Settings) -> Result[DatasetRow]:
    """The catalogue, and what is collected of each dataset; the remark says so if a database cannot be read."""
    files = published_files(settings)
    rows = [_dataset_row(settings, dataset, files.get(name)) for name, dataset in DATASETS.items()]
    return _result(DatasetRow, rows)


def _dataset_row(settings: Settings, dataset: Dataset, path: Path | None) -> DatasetRow:
    market = dataset.market
    row = DatasetRow(
        dataset=dataset.name,
        prefix=dataset.root,
        first_day=dataset.first_day,
        last_day=dataset.last_file_day,
        published=dataset.published,
        exchange_info=market.exchange_url and market.exchange_url + market.exchange_info_path,
        tracked=f"{', '.join(market.tracked_quotes)}: {', '.join(market.tracked_contracts)}",
        lifecycle="volume" if dataset.has_volume else "files",
        remark=dataset.remark,
        scheduled=dataset.name in settings.datasets,
        data_through=None,
        symbols=None,
        files=None,
    )
    if path:
        try:
            connection, publication = open_published(path)
        except PublishedDatabaseError as error:
            row["remark"] = str(error)
            return row
        connection.close()
        row["data_through"] = publication.data_through
        row["symbols"], row["files"] = publication.symbol_count, publication.file_count
    return row


def _result(row_type: type[R], rows: list[R]) -> Result[R]:
    def arrow() -> pa.Table:
        import pyarrow as pa  # noqa: PLC0415 - rows do without

        return pa.Table.from_pylist(rows)

    return Result(columns_of(row_type), lambda: rows, arrow)
