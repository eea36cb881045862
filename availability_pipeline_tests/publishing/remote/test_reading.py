"""Readers of object storage: the answers of a local database, or one sentence that says why there are none."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import click
import pytest
import requests

from availability_pipeline import AvailabilityDatabase, AvailabilityQueries
from availability_pipeline.cli import options
from availability_pipeline.cli.main import cli
from availability_pipeline.errors import PublishedDatabaseError, UsageError
from availability_pipeline.publishing.remote import web
from availability_pipeline.publishing.remote.cache import published_file
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.settings import Settings
from availability_pipeline_tests.archive.servers import nobody_listening
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.conftest import NewSettings, publish_small
from availability_pipeline_tests.publishing.remote.stores import (
    Answer,
    Request,
    Store,
    saying,
)

QUESTIONS: dict[str, Callable[[AvailabilityQueries], Any]] = {
    "snapshot": lambda q: q.get_available_symbols_on_date("2024-03-01"),
    "timeline": lambda q: q.get_symbol_availability_timeline("币安人生USDT"),
    "range": lambda q: q.get_availability_range("2024-01-10", "2024-02-01"),
    "arrow": lambda q: q.get_symbol_availability_timeline("BTCUSDT").arrow().to_pylist(),
    "universe": lambda q: q.get_universe("2024-03-01"),
    "lifecycle": lambda q: q.get_lifecycle(),
    "gaps": lambda q: q.get_gaps(),
    "changes": lambda q: q.get_changes(),
    "listings": lambda q: q.detect_new_listings("2024-01-30"),
    "summary": lambda q: q.get_availability_summary(),
    "status": lambda q: q.get_status(),
    "sql": lambda q: q.sql("SELECT symbol, first_file_day FROM published_symbols ORDER BY ALL"),
}


@pytest.fixture
def reader(tmp_path: Path) -> Settings:
    return Settings.load({}, data_dir=str(tmp_path / "reader"))


@pytest.fixture
def environment(uploaded: Store, reader: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The environment of a reader of the shared store."""
    uploaded.gateway.instead, uploaded.gateway.change = lambda _: None, lambda _, body: body
    uploaded.gateway.requests.clear()
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(reader.data_dir))
    for name, value in uploaded.environ.items():
        monkeypatch.setenv(name, value)
    return uploaded


def cached(settings: Settings) -> list[str]:
    """The generations that a reader has fetched."""
    return sorted(path.parent.name for path in settings.data_dir.glob("remote/*/*/availability.duckdb"))


@pytest.mark.parametrize("form", ["s3_url", "http_url"])
def test_answers_are_those_of_the_local_database(
    environment: Store, published: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", getattr(environment, form))
    with AvailabilityQueries(published / "availability.duckdb") as local, AvailabilityQueries() as remote:
        for name, question in QUESTIONS.items():
            assert question(remote) == question(local), name
    assert AvailabilityDatabase().get_last_update_date() == sample.LAST_DAY


@pytest.mark.parametrize("ending", ["", "/", "/latest.json"])
def test_a_url_may_be_given_to_the_api_and_end_as_people_end_it(environment: Store, ending: str) -> None:
    with AvailabilityQueries(environment.s3_url + ending) as queries:
        assert queries.publication.symbol_count == len(sample.SPANS)
        assert queries.location == environment.s3_url + ending


def test_the_database_is_fetched_once(environment: Store, reader: Settings) -> None:
    for _ in range(2):
        published_file(environment.http_url, reader)
    assert environment.gateway.count("GET", "latest.json") == 2
    assert environment.gateway.count("GET", "availability.duckdb") == 1


def test_a_cached_file_that_was_damaged_is_fetched_again(environment: Store, reader: Settings) -> None:
    path = published_file(environment.http_url, reader)
    content = path.read_bytes()
    assert path.stat().st_mode & 0o222 == 0
    sample.writable(path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert published_file(environment.http_url, reader).read_bytes() == content


def test_without_credentials_reading_is_anonymous(
    environment: Store, reader: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_file(environment.s3_url, reader)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    published_file(environment.s3_url, reader)
    signed = ["Authorization" in request.headers for request in environment.gateway.requests]
    assert signed == [True, True, False]


def test_a_completion_asks_no_server(
    environment: Store, reader: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", environment.http_url)
    context = click.Context(cli)
    assert options._symbols(context) == []
    assert environment.gateway.requests == []
    published_file(environment.http_url, reader)
    environment.gateway.requests.clear()
    assert options._symbols(context) == sorted(sample.SPANS)
    assert environment.gateway.requests == []


def test_the_web_gets_no_credentials(environment: Store, reader: Settings) -> None:
    published_file(environment.http_url, reader)
    assert not any("Authorization" in request.headers for request in environment.gateway.requests)


COMMANDS = (
    "query snapshot 2024-03-01",
    "query timeline ETHUSDT",
    "urls --symbols BTCUSDT --start 2024-03-01 --end 2024-03-02",
    "status --format json",
    "export --force out",
)

PROGRAM = """
    import json, os, sys
    from click.testing import CliRunner
    from availability_pipeline.cli.main import cli
    os.chdir(os.environ["AVAILABILITY_DATA_DIR"])
    done = [CliRunner().invoke(cli, line.split()) for line in sys.argv[1:]]
    loaded = [name for name in ("boto3", "requests", "dagster") if name in sys.modules]
    print(json.dumps([loaded, [result.exit_code for result in done], [result.stdout for result in done]]))
"""


def test_the_command_line_reads_and_loads_boto3_for_s3_only(
    environment: Store, reader: Settings, published: Path
) -> None:
    reader.data_dir.mkdir()
    local = published / "availability.duckdb"
    answers = {
        location: json.loads(run_python(PROGRAM, *COMMANDS, AVAILABILITY_DB_PATH=str(location)))
        for location in (local, environment.http_url, environment.s3_url)
    }
    libraries = [loaded for loaded, _, _ in answers.values()]
    assert [("boto3" in loaded, "dagster" in loaded) for loaded in libraries] == [
        (False, False), (False, False), (True, False),
    ]  # fmt: skip
    assert libraries[0] == []
    assert [codes for _, codes, _ in answers.values()] == [[0] * len(COMMANDS)] * 3
    said = [output for _, _, output in answers.values()]
    assert said[0][:3] == said[1][:3] == said[2][:3]
    assert [json.loads(output[3])["path"] for output in said] == [str(location) for location in answers]


@pytest.mark.parametrize("form", ["s3_url", "http_url"])
@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "HTTP 403"), (404, r"there is no latest\.json; check the address"), (500, "HTTP 500")],
)
def test_a_refusal_is_one_sentence(
    environment: Store, reader: Settings, form: str, status: int, told: str
) -> None:
    environment.gateway.instead = lambda _: saying(status)
    url = getattr(environment, form)
    with pytest.raises(PublishedDatabaseError, match=f"the published data at {url} cannot be read: {told}"):
        published_file(url, reader)
    assert cached(reader) == []


def test_nobody_there_is_one_sentence(
    environment: Store, reader: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobody_listening() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for location in (f"{url}/x", environment.s3_url):
            with pytest.raises(PublishedDatabaseError, match="the connection failed; check the "):
                published_file(location, reader)


@pytest.mark.usefixtures("environment")
def test_a_bucket_that_does_not_exist_is_told_so(reader: Settings) -> None:
    with pytest.raises(PublishedDatabaseError, match="there is no bucket no-such-bucket"):
        published_file("s3://no-such-bucket/x", reader)


def changed(latest: dict[str, Any], **facts: object) -> bytes:
    return json.dumps({**latest, **facts}).encode()


HOSTILE_FILES = [
    "../../../etc/passwd",
    "/etc/passwd",
    "elsewhere/availability.duckdb",
    "https://elsewhere.example/availability.duckdb",
    "generations/20240101T000000Z-a/availability.duckdb",
    "generations/{id}/../../../availability.duckdb",
    "generations/{id}/a/b/availability.duckdb",
    "generations/{id}/..%2fx.duckdb",
    "generations/{id}/",
]


@pytest.mark.parametrize("path", HOSTILE_FILES)
def test_no_path_leads_out_of_the_generation(environment: Store, reader: Settings, path: str) -> None:
    latest = environment.latest()
    entry = {**latest["files"][0], "path": path.format(id=latest["generation"])}
    answer = changed(latest, files=[*latest["files"], entry])
    environment.gateway.instead = lambda _: saying(200, answer)
    with pytest.raises(PublishedDatabaseError, match=r"latest\.json is not one of this program"):
        published_file(environment.http_url, reader)
    assert environment.gateway.count("GET") == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"generation": "../../up"}, {"generation": 7}, {"generation": None}, {"generations": [".."]},
        {"generations": [1]}, {"files": 3}, {"files": [{"path": "x"}]}, {"colour": "red"}, {"schema_version": "one"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_latest_json_is_not_believed(
    environment: Store, reader: Settings, facts: dict[str, object]
) -> None:
    answer = changed(environment.latest(), **facts)
    environment.gateway.instead = lambda _: saying(200, answer)
    with pytest.raises(PublishedDatabaseError, match=r"latest\.json is not one of this program"):
        published_file(environment.http_url, reader)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>hello</html>", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1, "gen',
     b'{"schema_version": 1e999}'],
)  # fmt: skip
def test_what_is_no_json_is_told_so(environment: Store, reader: Settings, answer: bytes) -> None:
    environment.gateway.instead = lambda _: saying(200, answer)
    with pytest.raises(PublishedDatabaseError, match=r"latest\.json is not one of this program"):
        published_file(environment.http_url, reader)


def test_a_latest_json_without_end_is_not_read_to_it(environment: Store, reader: Settings) -> None:
    environment.gateway.instead = lambda _: saying(200, b" " * 3_000_000)
    with pytest.raises(PublishedDatabaseError, match=r"latest\.json is too large for a manifest"):
        published_file(environment.http_url, reader)


def test_a_newer_form_asks_for_an_upgrade(environment: Store, reader: Settings) -> None:
    answer = changed(environment.latest(), schema_version=99)
    environment.gateway.instead = lambda _: saying(200, answer)
    with pytest.raises(PublishedDatabaseError, match=r"has schema version 99, .*; upgrade binance-futures"):
        published_file(environment.http_url, reader)


@pytest.mark.parametrize("form", ["s3_url", "http_url"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda body: body[: len(body) // 2], "cut off"),
        (lambda body: b"x" + body[1:], r"availability\.duckdb does not have its checksum"),
    ],
    ids=["cut off", "damaged"],
)
def test_a_download_that_is_not_what_it_should_be_leaves_nothing(
    environment: Store, reader: Settings, form: str, change: Callable[[bytes], bytes], told: str
) -> None:
    environment.gateway.change = lambda r, body: change(body) if r.path.endswith(".duckdb") else body
    with pytest.raises(PublishedDatabaseError, match=told):
        published_file(getattr(environment, form), reader)
    assert [path for path in reader.data_dir.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("form", ["s3_url", "http_url"])
def test_a_server_that_falls_silent_is_told_as_that(environment: Store, reader: Settings, form: str) -> None:
    silence = threading.Event()

    def stop(handler: BaseHTTPRequestHandler) -> None:
        saying(200, b"{", **{"Content-Length": "9"})(handler)
        silence.wait(60)

    environment.gateway.instead = lambda _: stop
    try:
        with pytest.raises(PublishedDatabaseError, match=r"no answer came in time; try again, or raise"):
            published_file(getattr(environment, form), dataclasses.replace(reader, timeout_seconds=1))
    finally:
        silence.set()


def test_more_than_was_announced_is_not_taken(environment: Store, reader: Settings) -> None:
    answer = environment.object(environment.latest()["files"][0]["path"]).value + b"x" * 3_000_000
    environment.gateway.instead = lambda r: saying(200, answer) if r.path.endswith(".duckdb") else None
    with pytest.raises(PublishedDatabaseError, match="does not have its checksum"):
        published_file(environment.http_url, reader)


def test_a_full_disk_is_told_and_leaves_nothing(environment: Store, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 6_800_000)
    settings = Settings.load({}, data_dir=str(small_disk / "data"))
    with pytest.raises(PublishedDatabaseError, match=r"cannot be kept in .*\(No space left on device\)"):
        published_file(environment.http_url, settings)
    assert cached(settings) == []
    subprocess.run(["rm", str(small_disk / "ballast")], check=True)
    assert published_file(environment.http_url, settings).exists()


def test_https_is_never_left() -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 302, "https://data.example/latest.json"
    session = web._Session()
    for target, allowed in (("https://cdn.example/x", True), ("/x", True), ("http://data.example/x", False)):
        answer.headers["Location"] = target
        if allowed:
            assert session.get_redirect_target(answer) == target
        else:
            with pytest.raises(web._Downgraded):
                session.get_redirect_target(answer)


def test_redirects_are_followed_but_not_in_a_circle(environment: Store, reader: Settings) -> None:
    gateway, url = environment.gateway, environment.http_url
    gateway.instead = lambda request: (
        saying(302, Location=url + request.path.removeprefix("/moved"))
        if request.path.startswith("/moved/")
        else None
    )
    assert published_file(f"{gateway.url}/moved", reader).exists()
    gateway.instead = lambda _: saying(302, Location="/again")
    with pytest.raises(PublishedDatabaseError, match="it redirects in a circle; check the address"):
        published_file(url, reader)


# S3 answers 403 for what is not there to readers who may not list; a download can also end in the middle.
@pytest.mark.parametrize("answer", [None, saying(403), saying(200, b"beginning")])
def test_a_generation_that_is_pruned_meanwhile_is_not_missed(
    store: Store, machine: NewSettings, reader: Settings, answer: Answer | None
) -> None:
    settings = machine(publish_keep="1")
    mirror(settings)

    def prune_now(request: Request) -> Answer | None:
        if not request.path.endswith(".duckdb"):
            return None
        store.gateway.instead = lambda _: None
        publish_small(settings.data_dir, 2)
        mirror(settings)
        return answer

    store.gateway.instead = prune_now
    path = published_file(store.http_url, reader)
    assert path.parent.name == store.latest()["generation"]
    assert path.read_bytes() == settings.db_file.read_bytes()


def test_a_generation_that_stays_missing_is_told(
    store: Store, machine: NewSettings, reader: Settings
) -> None:
    mirror(machine())
    store.gateway.instead = lambda r: saying(404) if r.path.endswith(".duckdb") else None
    with pytest.raises(PublishedDatabaseError, match=r"availability\.duckdb does not exist"):
        published_file(store.http_url, reader)
    assert store.gateway.count("GET", "latest.json") == 2 + 1  # one of the upload


def test_the_generation_before_is_kept_and_older_ones_are_not(
    store: Store, machine: NewSettings, reader: Settings
) -> None:
    settings, names = machine(), []
    for number in (2, 3, 4):
        names.append(publish_small(settings.data_dir, number))
        mirror(settings)
        opened = published_file(store.s3_url, reader).open("rb")
        with opened:
            assert opened.read() == settings.db_file.read_bytes()
    assert cached(reader) == names[1:]


def test_a_reader_takes_up_what_is_published_later(store: Store, tmp_path: Path, reader: Settings) -> None:
    settings = Settings.load({}, data_dir=str(tmp_path / "real"), publish_url=store.s3_url)
    first = sample.copy_published(settings.data_dir)
    mirror(settings)
    with AvailabilityQueries(store.s3_url, settings=reader) as queries:
        assert not queries.reload()
        sample.publish_run(settings.data_dir, "run-2", 2)
        mirror(settings)
        assert queries.publication.run_id == "run-1"
        assert queries.reload()
        assert queries.publication.run_id == "run-2"
        store.gateway.instead = lambda _: saying(503)
        with pytest.raises(PublishedDatabaseError, match="HTTP 503"):
            queries.reload()
        assert len(queries.get_available_symbols_on_date("2024-03-01")) == 3
    assert cached(reader)[0] == first.generation


def test_several_may_fetch_at_once(environment: Store, reader: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: published_file(environment.http_url, reader), range(4)))
    assert len(paths) == 1
    assert [path.name for path in paths.pop().parent.iterdir()] == ["availability.duckdb"]


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "ftp://host/x", "s3://b", "s3://bucket/../x", "s3://bucket//x", "https://"]
)
def test_what_cannot_be_read_from_is_wrong_usage(url: str, reader: Settings) -> None:
    with pytest.raises(UsageError, match="which is no"):
        published_file(url, reader)
