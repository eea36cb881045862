"""Every kind of request that the program makes, as functions of where the server is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import closing

from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.contents import fetch
from availability_pipeline.archive.exchange_info import fetch_contracts
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.listing import list_folders
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.defs.alerts import AlertLog
from availability_pipeline.publishing.remote import s3
from availability_pipeline.publishing.remote.objects import open_source
from availability_pipeline.settings import Settings

DAY = dt.date(2024, 1, 15)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
PREFIX = "data/futures/um/daily/klines/BTCUSDT/1m"

Ask = Callable[[str], object]


def settings(url: str, **arguments: str) -> Settings:
    chosen = {"timeout_seconds": "5", "connections": "8", "fapi_url": url, **arguments}
    return Settings.load({}, s3_endpoint=url, archive_url=url, **chosen)


def listing(url: str) -> object:
    with closing(ListingClient(settings(url))) as bucket:
        return list_folders(bucket)


def head(url: str) -> object:
    return probe_files(settings(url), SYMBOLS, DAY)


def exchange_info(url: str) -> object:
    return fetch_contracts(settings(url))


def klines(url: str) -> object:
    with Session(anonymous=True) as session:
        return fetch(session, f"{url}/{PREFIX}/BTCUSDT-1m-{DAY}.zip", 5)


def web(url: str) -> object:
    return b"".join(open_source(f"{url}/{PREFIX}", 5).chunks(f"BTCUSDT-1m-{DAY}.zip"))


def bucket(url: str) -> object:
    """Needs AWS_ENDPOINT_URL, which boto3 reads. Of a few objects: boto3 takes long to read a page of a thousand."""
    del url
    return s3.Bucket(f"s3://data.binance.vision/{PREFIX}", 5).objects(f"BTCUSDT-1m-{DAY}")


def alert(url: str) -> object:
    """An alert never raises; it is put off."""
    return AlertLog().deliver(["text"], [f"{url.replace('http', 'json', 1)}/hook"])


ARCHIVE: dict[str, Ask] = {"LIST": listing, "HEAD": head, "exchangeInfo": exchange_info, "klines": klines}
READING: dict[str, Ask] = {**ARCHIVE, "web": web, "s3": bucket}
"""All that raise."""

BOTH_WAYS = ("LIST", "HEAD")
"""One that boto3 sends and one that requests sends: the others use the same code as one of these."""
