"""The archive's names: every kind of folder and key that counts, parsed; all others are rejected.

Only spelling belongs here; the dataset builds keys. What exists is for `listing` and `probing` to find out.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from availability_pipeline.catalogue.datasets import CHECKSUM, Dataset

_SETTLED = re.compile(r"(?P<pair>.+?)_?(?:SETTLED)+")
_DELIVERY = re.compile(r"(?P<pair>.+)_(?P<expiry>\d{6})", re.ASCII)
_DATE_AND_ENDING = {
    period: re.compile(rf"(?P<date>{date})\.zip(?P<checksum>{re.escape(CHECKSUM)})?", re.ASCII)
    for period, date in (("daily", r"\d{4}-\d{2}-\d{2}"), ("monthly", r"\d{4}-\d{2}"))
}


class UnknownName(ValueError):
    """The name is not one that the archive uses for the dataset."""


@dataclass(frozen=True)
class Symbol:
    """What a folder's name says about its contract."""

    name: str
    """The folder's name, such as `BTCUSDT`."""
    contract: str
    """perpetual, settled (the former contract of a name that came back), delivery, pair or index."""
    quote: str | None
    """The quote asset, or None where it is none of the dataset's."""


@dataclass(frozen=True)
class FileKey:
    """What the key of a file says."""

    symbol: str
    day: dt.date
    """The day, or the first one of the month."""
    checksum: bool = False
    """Whether it is the `.CHECKSUM` beside the zip."""


def parse_symbol(dataset: Dataset, name: str) -> Symbol:
    """Read a folder's name.

    Raises:
        UnknownName: It is not the name of a contract.
    """
    if match := _SETTLED.fullmatch(name):
        contract = "settled"
    elif match := _DELIVERY.fullmatch(name):
        contract = "delivery"
        _check_expiry(name, match["expiry"])
    else:
        contract = dataset.market.plain_contract
    pair = match["pair"] if match else name.removesuffix(dataset.market.perpetual_ending)
    if not pair.isalnum() or pair != pair.upper():
        raise UnknownName(f"{name!r} is not the name of a contract")
    quote = next((quote for quote in dataset.market.quotes if pair.endswith(quote) and pair != quote), None)
    return Symbol(name, contract, quote)


def _check_expiry(name: str, expiry: str) -> None:
    try:
        dt.datetime.strptime(expiry, "%y%m%d")  # noqa: DTZ007 - only whether it is a day
    except ValueError:
        raise UnknownName(f"{name!r} does not end in a day") from None


def parse_folder(dataset: Dataset, prefix: str) -> Symbol:
    """Read a folder as a listing gives it, such as `data/futures/um/daily/klines/BTCUSDT/`.

    Raises:
        UnknownName: It is not the folder of a contract.
    """
    if not prefix.startswith(dataset.root) or not prefix.endswith("/"):
        raise UnknownName(f"{prefix!r} is not a folder under {dataset.root}")
    return parse_symbol(dataset, prefix[len(dataset.root) : -1])


def parse_key(dataset: Dataset, key: str) -> FileKey:
    """Read the key of a file or of its checksum.

    Raises:
        UnknownName: It is anything else.
    """
    symbol = key[len(dataset.root) :].partition("/")[0]
    stem = dataset.key_stem(symbol)
    match = _DATE_AND_ENDING[dataset.period].fullmatch(key, len(stem)) if key.startswith(stem) else None
    if not match:
        raise UnknownName(f"{key!r} is not the key of a {dataset.period} {dataset.name} file")
    try:
        day = dt.date.fromisoformat(first_day_text(dataset, match["date"]))
    except ValueError:
        raise UnknownName(f"{key!r} names a day that does not exist") from None
    return FileKey(parse_symbol(dataset, symbol).name, day, checksum=bool(match["checksum"]))


def first_day_text(dataset: Dataset, date: str) -> str:
    """The ISO text of the first day that a file is about, from the date in its name."""
    return date if dataset.period == "daily" else f"{date}-01"
