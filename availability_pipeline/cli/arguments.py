"""How arguments that several commands have are read."""

from __future__ import annotations

from availability_pipeline.errors import UsageError


def symbol_names(symbols: str | None) -> list[str]:
    """The contracts of `--symbols`; none if it was not given.

    Raises:
        UsageError: It was given and names none.
    """
    if symbols is None:
        return []
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise UsageError("--symbols names no contract; write it as --symbols BTCUSDT,ETHUSDT")
    return names
