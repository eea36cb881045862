"""The result of a query: a list of rows that is also an Arrow table, both made lazily."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast

from availability_pipeline.errors import UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

R = TypeVar("R", bound=Mapping[str, object])
"""The type of a row."""

_BATCH_ROWS = 20_000


class Result(list[R]):
    """The rows of a query as a list of plain dicts, and as Arrow, pandas or polars.

    Rows and table are made independently on first use. A result outlives `close` and `reload` of its queries; changing
    the list does not change the table.

    Args:
        columns: The columns, in order.
        rows: Makes the rows, on every call.
        arrow: Makes the table.
    """

    def __init__(
        self, columns: Iterable[str], rows: Callable[[], Iterable[R]], arrow: Callable[[], pa.Table]
    ) -> None:
        super().__init__()
        self.columns = tuple(columns)
        """The columns, in order, even without rows."""
        self._rows: Callable[[], Iterable[R]] | None = rows
        self._arrow = functools.cache(arrow)

    @classmethod
    def of_arrow(cls, table: pa.Table) -> Result[R]:
        """The result that an Arrow table holds."""
        return cls(table.column_names, lambda: rows_of(table), lambda: table)

    def arrow(self) -> pa.Table:
        """The rows as a `pyarrow.Table`.

        Example:
            >>> queries.get_lifecycle("LITUSDT").arrow()["end_reason"].to_pylist()
            ['relisted', None]
        """
        return self._arrow()

    def df(self) -> Any:
        """The rows as a pandas frame, days and moments as `datetime64`.

        Raises:
            UsageError: pandas is not installed.

        Example:
            >>> queries.get_lifecycle("LITUSDT").df().shape
            (2, 12)
        """
        _check_installed("pandas")
        return self.arrow().to_pandas(date_as_object=False)

    def pl(self) -> pl.DataFrame:
        """The rows as a polars frame.

        Raises:
            UsageError: polars is not installed.

        Example:
            >>> queries.get_lifecycle("LITUSDT").pl().height
            2
        """
        _check_installed("polars")
        import polars as pl  # noqa: PLC0415 - optional

        return cast("pl.DataFrame", pl.from_arrow(self.arrow()))

    def stream(self) -> Iterator[R]:
        """The rows one by one, without keeping them, for ranges larger than memory.

        Example:
            >>> files = queries.get_availability_range("2024-01-15", "2024-01-21").stream()
            >>> sum(row["file_size_bytes"] for row in files)
            3420432
        """
        return iter(self if self._rows is None else self._rows())

    def _make(self) -> None:
        if self._rows is not None:
            super().extend(self._rows())
            self._rows = None

    def __radd__(self, other: list[R]) -> list[R]:
        # Otherwise CPython would add the list without making its rows.
        self._make()
        return [*other, *self]

    def __reduce__(self) -> tuple[Any, ...]:
        self._make()
        return list, (list(self),)


def _made_first(name: str) -> Callable[..., Any]:
    """The method of `list`, after making the rows of this result and of results among the arguments."""
    of_list = getattr(list, name)

    @functools.wraps(of_list)
    def method(self: Result[Any], *args: Any, **kwargs: Any) -> Any:
        for each in (self, *args):
            if isinstance(each, Result):
                each._make()
        return of_list(self, *args, **kwargs)

    return method


for _name in (
    "__add__", "__contains__", "__delitem__", "__eq__", "__ge__", "__getitem__", "__gt__", "__iadd__", "__imul__",
    "__iter__", "__le__", "__len__", "__lt__", "__mul__", "__ne__", "__repr__", "__reversed__", "__rmul__",
    "__setitem__", "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
):  # fmt: skip
    setattr(Result, _name, _made_first(_name))


def rows_of(table: pa.Table) -> Iterator[Any]:
    """The rows of an Arrow table; see `rows_of_batches`."""
    return rows_of_batches(table.to_batches(max_chunksize=_BATCH_ROWS), table.schema)


def rows_of_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[dict[str, Any]]:
    """The rows of Arrow record batches as dicts; decimals without scale, as of a sum, become ints.

    Raises:
        UsageError: A value has no Python type, such as the year 10000.
    """
    decimals = [field.name for field in schema if _is_whole(field.type)]
    for batch in batches:
        try:
            rows = batch.to_pylist()
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"the answer has a value that Python cannot hold ({error}); cast it to VARCHAR"
            ) from error
        for row in rows:
            for name in decimals:
                if isinstance(row[name], Decimal):
                    row[name] = int(row[name])
            yield row


def _is_whole(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    return bool(pa.types.is_decimal(kind)) and not kind.scale


def _check_installed(library: str) -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - only frames need it

    if find_spec(library) is None:
        raise UsageError(
            f"{library} is not installed, so there is no frame of it; run "
            f"`pip install 'binance-futures-availability[{library}]'`"
        )
