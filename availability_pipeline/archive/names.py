"""The archive's names: every kind of folder and key that counts, parsed and built; all others are rejected.

Only spelling lives here. What exists is for `listing` and `probing` to find out.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from urllib.parse import quote as percent_encode

ROOT = "data/futures/um/daily/klines/"
"""The prefix under which every contract has a folder."""

QUOTES = ("USDT", "USDC", "BUSD", "USD1", "BTC", "U")
"""Quote assets seen in the archive, longer ones first, so that `BTCUSDT` is not read as quoted in `T`."""

CHECKSUM = ".CHECKSUM"
"""What the archive appends to the name of a file for the name of its checksum."""

_SETTLED = re.compile(r"(?P<pair>.+?)_?(?:SETTLED)+")
_DELIVERY = re.compile(r"(?P<pair>.+)_(?P<expiry>\d{6})", re.ASCII)
_KEY = re.compile(
    re.escape(ROOT)
    + r"(?P<symbol>[^/]+)/1m/(?P=symbol)-1m-(?P<day>\d{4}-\d{2}-\d{2})\.zip(?P<checksum>\.CHECKSUM)?",
    re.ASCII,
)


class UnknownName(ValueError):
    """The name is not one that the archive uses for 1-minute daily klines."""


@dataclass(frozen=True)
class Symbol:
    """What a folder's name says about its contract."""

    name: str
    """The folder's name, such as `BTCUSDT`."""
    contract: str
    """perpetual, settled (the former contract of a name that came back) or delivery."""
    quote: str | None
    """The quote asset, or None where it is none of `QUOTES`."""


@dataclass(frozen=True)
class FileKey:
    """One key of a contract's 1-minute folder."""

    symbol: str
    day: dt.date
    checksum: bool = False
    """Whether it is the `.CHECKSUM` beside the zip."""

    def __str__(self) -> str:
        return f"{folder(self.symbol)}{self.symbol}-1m-{self.day}.zip{CHECKSUM if self.checksum else ''}"


def parse_symbol(name: str) -> Symbol:
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
        contract = "perpetual"
    pair = match["pair"] if match else name
    if not pair.isalnum() or pair != pair.upper():
        raise UnknownName(f"{name!r} is not the name of a contract")
    return Symbol(name, contract, _quote(pair))


def _check_expiry(name: str, expiry: str) -> None:
    try:
        dt.datetime.strptime(expiry, "%y%m%d")  # noqa: DTZ007 - only whether it is a day
    except ValueError:
        raise UnknownName(f"{name!r} does not end in a day") from None


def _quote(pair: str) -> str | None:
    return next((quote for quote in QUOTES if pair.endswith(quote) and pair != quote), None)


def parse_folder(prefix: str) -> Symbol:
    """Read a folder as a listing gives it, such as `data/futures/um/daily/klines/BTCUSDT/`.

    Raises:
        UnknownName: It is not the folder of a contract.
    """
    if not prefix.startswith(ROOT) or not prefix.endswith("/"):
        raise UnknownName(f"{prefix!r} is not a folder under {ROOT}")
    return parse_symbol(prefix[len(ROOT) : -1])


def parse_key(key: str) -> FileKey:
    """Read the key of a daily 1-minute kline file or of its checksum.

    Raises:
        UnknownName: It is anything else.
    """
    match = _KEY.fullmatch(key)
    if not match:
        raise UnknownName(f"{key!r} is not the key of a daily 1-minute kline file")
    try:
        day = dt.date.fromisoformat(match["day"])
    except ValueError:
        raise UnknownName(f"{key!r} names a day that does not exist") from None
    return FileKey(parse_symbol(match["symbol"]).name, day, checksum=bool(match["checksum"]))


def folder(symbol: str) -> str:
    """The prefix of a contract's 1-minute files."""
    return f"{ROOT}{symbol}/1m/"


def day_mark(symbol: str, day: dt.date) -> str:
    """A key that does not exist and sorts right before the day's zip: list after it to begin with that day."""
    return f"{folder(symbol)}{symbol}-1m-{day}"


def url_base(archive_url: str, symbol: str) -> str:
    """The percent-encoded public URL of a contract's file, up to the day."""
    return f"{archive_url}/{percent_encode(f'{folder(symbol)}{symbol}-1m-')}"


def file_url(archive_url: str, symbol: str, day: dt.date) -> str:
    """The percent-encoded public URL of a day's zip."""
    return f"{url_base(archive_url, symbol)}{day}.zip"


def url_sql(archive_url: str) -> str:
    """`file_url` as an SQL expression over the columns `symbol` and `date`.

    Args:
        archive_url: Where files are served, as an SQL expression.
    """
    before, between = folder("\n").split("\n")
    # concat() is planned in half the time that || takes.
    name = "url_encode(symbol)"
    return f"concat({archive_url}, '/{before}', {name}, '{between}', {name}, '-1m-', date, '.zip')"
