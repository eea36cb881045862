"""Settings: a wrong value is refused at once and by its name, because it would otherwise fail far from its cause.

Hosts in particular: what passes here is asked by two HTTP clients, which reject different things in different ways.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from availability_pipeline.errors import UsageError
from availability_pipeline.settings import VARIABLES, Settings

URLS = {"s3_endpoint", "archive_url", "fapi_url"}
NUMBERS = {"connections", "timeout_seconds", "lookback_days"}


def test_the_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    folder = Path("/home/someone/.cache/binance-futures")
    assert Settings.load({}) == Settings(
        data_dir=folder,
        db_path=folder / "availability.duckdb",
        s3_endpoint="https://s3.ap-northeast-1.amazonaws.com",
        s3_bucket="data.binance.vision",
        archive_url="https://data.binance.vision",
        fapi_url="https://fapi.binance.com",
        connections=64,
        timeout_seconds=20,
        lookback_days=20,
        retry_seconds=30,
        alert_urls=(),
        log_format="text",
        tracked_quotes=("USDT",),
        tracked_contracts=("perpetual", "settled"),
    )


def test_every_setting_has_its_variable() -> None:
    fields = [
        field.name for field in dataclasses.fields(Settings) if field.name not in ("dataset", "of_default")
    ]
    assert sorted(VARIABLES) == sorted(fields)
    assert {name: variable for name, (variable, _) in VARIABLES.items()} == {
        name: f"AVAILABILITY_{name.upper()}" for name in fields
    }


def test_the_environment_is_read_when_asked_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_CONNECTIONS", " 3 ")
    assert Settings.load().connections == 3


def test_an_argument_goes_over_the_environment() -> None:
    environ = {"AVAILABILITY_CONNECTIONS": "3", "AVAILABILITY_LOOKBACK_DAYS": "4"}
    settings = Settings.load(environ, connections="5", lookback_days=None)
    assert (settings.connections, settings.lookback_days) == (5, 4)


def test_a_wrong_variable_is_no_matter_under_an_argument() -> None:
    assert Settings.load({"AVAILABILITY_CONNECTIONS": "many"}, connections="5").connections == 5


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert Settings.load({"AVAILABILITY_CONNECTIONS": "  "}).connections == 64


def test_an_unknown_setting_is_a_mistake_in_the_program() -> None:
    with pytest.raises(TypeError, match="no such setting: colour"):
        Settings.load({}, colour="red")


def test_the_published_database_follows_the_data_directory() -> None:
    settings = Settings.load({"AVAILABILITY_DATA_DIR": "/srv/data"})
    assert settings.db_path == Path("/srv/data/availability.duckdb")
    assert settings.working_path == Path("/srv/data/working/availability.duckdb")


def test_the_published_database_may_be_elsewhere() -> None:
    settings = Settings.load({"AVAILABILITY_DATA_DIR": "/srv/data", "AVAILABILITY_DB_PATH": "/srv/a.duckdb"})
    assert settings.db_path == Path("/srv/a.duckdb")


def test_paths_are_absolute_whatever_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert Settings.load({}, data_dir="here").data_dir == tmp_path / "here"
    assert Settings.load({}, data_dir="~/there").data_dir == Path("/home/someone/there")


def test_an_unknown_home_is_named() -> None:
    with pytest.raises(UsageError, match="AVAILABILITY_DATA_DIR is '~nobody-at-all/x'"):
        Settings.load({"AVAILABILITY_DATA_DIR": "~nobody-at-all/x"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566", "http://[::1]:80", "https://s3.ap-northeast-1.amazonaws.com", "http://host/sub",
        "http://localhost.", "HTTP://LOCALHOST",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", sorted(URLS))
def test_urls_that_can_be_asked(name: str, url: str) -> None:
    assert getattr(Settings.load({}, **{name: f"{url}/"}), name) == url


@pytest.mark.parametrize(
    "url",
    [
        "data.binance.vision", "ftp://host", "http://", "http://:80", "//host", "http://a b", "http://a..b",
        "http://-a", "http://a-", "http://[::1", "http://x_y", "http://é.example", f"http://{'a' * 64}.example",
        "http://host?x=1", "http://host#x", "http://user:secret@host", "http://host\n", "http://ho\tst", "http://*",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", sorted(URLS))
def test_urls_that_cannot(name: str, url: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is '.*', which is no URL"):
        Settings.load({}, **{name: url})


@pytest.mark.parametrize(
    "url", ["http://host:port", "http://host:65536", "http://host:-1", "http://host:1%20"]
)
def test_a_wrong_port_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"AVAILABILITY_S3_ENDPOINT is .*, which is no URL; .* port from 0"):
        Settings.load({"AVAILABILITY_S3_ENDPOINT": url})


def test_urls_of_alerts_are_taken_as_they_are_and_not_shown() -> None:
    text = "https://hooks.example/T0/B0/x?a=1,2  mailto://me:pw@example.org\nsyslog://"
    settings = Settings.load({"AVAILABILITY_ALERT_URLS": text})
    assert settings.alert_urls == tuple(text.split())
    assert "example" not in repr(settings)
    assert Settings.load(settings.environment()) == settings


@pytest.mark.parametrize("url", ["hooks.example/SECRET", "://SECRET", "1x://SECRET", "SECRET"])
def test_a_wrong_url_of_alerts_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match="AVAILABILITY_ALERT_URLS has no URL at position 2 of 2") as caught:
        Settings.load({"AVAILABILITY_ALERT_URLS": f"json://host/SECRET {url}"})
    assert "SECRET" not in str(caught.value)


def test_the_formats_of_logs_are_named() -> None:
    assert Settings.load({"AVAILABILITY_LOG_FORMAT": "json"}).log_format == "json"
    with pytest.raises(UsageError, match="AVAILABILITY_LOG_FORMAT is 'xml'; allowed are text, json"):
        Settings.load({"AVAILABILITY_LOG_FORMAT": "xml"})


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "1e3"])
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_numbers_are_whole_and_positive(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=rf"AVAILABILITY_{name.upper()} is '{re.escape(text)}'"):
        Settings.load({f"AVAILABILITY_{name.upper()}": text})


def test_a_retry_may_follow_at_once() -> None:
    assert Settings.load({"AVAILABILITY_RETRY_SECONDS": "0"}).retry_seconds == 0
    with pytest.raises(
        UsageError, match=r"AVAILABILITY_RETRY_SECONDS is '3601'; it must be .* from 0 to 3,600"
    ):
        Settings.load({"AVAILABILITY_RETRY_SECONDS": "3601"})


@pytest.mark.parametrize("bucket", ["a", "a b", "a/b", "é" * 4, "a" * 64, "arn:aws:s3:::b", "a\nb"])
def test_what_is_no_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(UsageError, match="which is no bucket's name"):
        Settings.load({}, s3_bucket=bucket)


@pytest.mark.parametrize("bucket", ["data.binance.vision", "my-bucket_1"])
def test_a_bucket_has_a_name(bucket: str) -> None:
    assert Settings.load({}, s3_bucket=bucket).s3_bucket == bucket


def test_what_is_tracked_is_a_list() -> None:
    settings = Settings.load({"AVAILABILITY_TRACKED_QUOTES": "USDT, USDC,"}, tracked_contracts="delivery")
    assert (settings.tracked_quotes, settings.tracked_contracts) == (("USDT", "USDC"), ("delivery",))


def test_a_list_must_have_something_in_it() -> None:
    with pytest.raises(UsageError, match="tracked_quotes is ', ,'; it must name at least one"):
        Settings.load({}, tracked_quotes=", ,")


def test_an_unknown_kind_of_contract_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="names 'spot'; allowed are perpetual, settled, delivery"):
        Settings.load({}, tracked_contracts="perpetual,spot")


def test_simulated_data_is_known_by_its_marker(tmp_path: Path) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path))
    assert not settings.is_demo
    settings.demo_marker.touch()
    assert settings.is_demo
