"""Uploads: what readers of object storage have at each moment, and what is never overwritten or removed.

What arrives is read from moto's memory, not through the code under test.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
from pathlib import Path

import pytest

from availability_pipeline.errors import PublicationError, UploadError
from availability_pipeline.publishing.release import rollback
from availability_pipeline.publishing.remote.replicate import going_back, mirror
from availability_pipeline.settings import Settings
from availability_pipeline_tests.archive.servers import canned, nobody_listening
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.conftest import NewSettings, publish_small
from availability_pipeline_tests.publishing.remote.stores import (
    KEY_ID,
    SECRET,
    TOKEN,
    Request,
    Store,
    keys_of,
    memory,
    saying,
)


def publish_again(settings: Settings, number: int) -> str:
    """Publish another generation on the machine, upload it, and return its id."""
    name = publish_small(settings.data_dir, number)
    mirror(settings)
    return name


def here(settings: Settings) -> dict[str, bytes]:
    """The files of the generation that is read on the machine, by name."""
    manifest = json.loads((settings.data_dir / "manifest.json").read_text("utf-8"))
    folder = settings.data_dir / "generations" / manifest["generation"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_here(settings: Settings) -> str:
    return str(json.loads((settings.data_dir / "manifest.json").read_text("utf-8"))["generation"])


def test_a_generation_arrives_under_its_prefix_and_latest_json_names_it(
    store: Store, machine: NewSettings
) -> None:
    settings = machine()
    report = mirror(settings)
    name, files = read_here(settings), here(settings)
    assert store.keys() == sorted([*(f"generations/{name}/{path}" for path in files), "latest.json"])
    assert {path: store.object(f"generations/{name}/{path}").value for path in files} == files
    latest = store.latest()
    assert (latest["generation"], latest["generations"]) == (name, [name])
    assert latest["database"] == f"generations/{name}/availability.duckdb"
    for entry in latest["files"]:
        content = store.object(entry["path"]).value
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {Path(entry["path"]).name for entry in latest["files"]} >= {"2024.parquet", "latest.parquet"}
    assert report
    assert (report.files, report.bytes) == (len(files), sum(map(len, files.values())))


def test_the_manifest_comes_last_of_its_prefix_and_latest_json_after_it(
    store: Store, machine: NewSettings
) -> None:
    mirror(machine())
    puts = [request for request in store.gateway.requests if request.method == "PUT"]
    assert [put.path.rsplit("/", 1)[1] for put in puts[-2:]] == ["manifest.json", "latest.json"]
    assert all("Content-MD5" in put.headers for put in puts)
    caching = {put.path.rsplit("/", 1)[1]: put.headers["Cache-Control"] for put in puts}
    assert caching.pop("latest.json") == "no-cache"
    assert set(caching.values()) == {"public, max-age=31536000, immutable"}
    kinds = {put.path.rsplit(".", 1)[1]: put.headers["Content-Type"] for put in puts}
    assert kinds == {
        "duckdb": "application/octet-stream",
        "parquet": "application/vnd.apache.parquet",
        "json": "application/json",
    }


def test_the_same_generation_is_not_uploaded_twice(store: Store, machine: NewSettings) -> None:
    mirror(machine())
    store.gateway.requests.clear()
    report = mirror(machine())
    assert report
    assert (report.files, store.gateway.count("PUT")) == (0, 0)


def test_a_complete_generation_is_never_overwritten(store: Store, machine: NewSettings) -> None:
    settings = machine()
    store.put(f"generations/{read_here(settings)}/manifest.json", b"somebody else's")
    with pytest.raises(
        UploadError, match="holds another generation, which is not overwritten; run `publish`"
    ):
        mirror(settings)
    assert store.keys() == [f"generations/{read_here(settings)}/manifest.json"]


@pytest.mark.parametrize("prefix", ["", "/", "/a", "/a/", "/a/币安人生/b"])
def test_a_prefix_may_be_empty_deep_and_end_with_a_slash(
    store: Store, machine: NewSettings, prefix: str
) -> None:
    mirror(machine(publish_url=f"s3://{store.bucket}{prefix}"))
    keys = keys_of(store.bucket)
    folder = f"{prefix.strip('/')}/".lstrip("/")
    assert f"{folder}latest.json" in keys
    assert all(key.startswith((f"{folder}generations/", f"{folder}latest.json")) for key in keys)


def test_a_bucket_with_dots_is_reached_by_its_path(store: Store, machine: NewSettings) -> None:
    memory().create_bucket("dotted.name.example", "us-east-1")
    mirror(machine(publish_url="s3://dotted.name.example/x"))
    assert store.gateway.count("PUT", "/dotted.name.example/x/latest.json") == 1


def test_simulated_data_is_never_uploaded(store: Store, machine: NewSettings) -> None:
    settings = machine()
    settings.demo_marker.touch()
    assert mirror(settings) is None
    publish_small(settings.data_dir, 2)
    rollback(settings.db_file, going_back(settings))
    assert store.gateway.requests == []


def test_without_a_url_nothing_happens(store: Store, machine: NewSettings) -> None:
    settings = Settings.load({}, data_dir=str(machine().data_dir))
    assert mirror(settings) is None
    going_back(settings)(None)  # type: ignore[arg-type]
    assert store.gateway.requests == []


def refuse(method: str, ending: str, status: int = 403) -> object:
    return lambda r: saying(status) if r.method == method and r.path.endswith(ending) else None


@pytest.mark.parametrize("ending", ["2024.parquet", "/manifest.json", "latest.json"])
@pytest.mark.parametrize(("status", "transient"), [(403, False), (503, True)])
def test_an_upload_that_is_refused_leaves_readers_what_they_had(
    store: Store, machine: NewSettings, ending: str, status: int, *, transient: bool
) -> None:
    settings = machine()
    mirror(settings)
    before = store.latest()
    store.gateway.instead = refuse("PUT", ending, status)  # type: ignore[assignment]
    with pytest.raises(UploadError, match=rf"was published here, but not to s3://.*HTTP {status}") as caught:
        publish_again(settings, 2)
    assert caught.value.transient is transient
    assert store.latest() == before
    store.gateway.instead = lambda _: None
    mirror(settings)
    assert store.latest()["generations"] == [read_here(settings), before["generation"]]


def test_a_store_that_is_gone_is_one_sentence(
    machine: NewSettings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobody_listening() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(UploadError, match="the connection failed; check the endpoint") as caught:
            mirror(machine())
    assert caught.value.transient
    assert store.keys() == []


def test_a_store_that_is_none_is_told_so(machine: NewSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with canned(200, b"<html>hello</html>") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UploadError, match=r"latest\.json is not one of this program"):
            mirror(machine())


def test_a_store_that_redirects_is_told_so(store: Store, machine: NewSettings) -> None:
    store.gateway.instead = lambda r: saying(301, Location=f"https://127.0.0.1{r.path}")
    with pytest.raises(UploadError, match="the endpoint redirects; check AWS_ENDPOINT_URL") as caught:
        mirror(machine())
    assert not caught.value.transient


def test_a_bucket_that_does_not_exist_is_told_so(machine: NewSettings) -> None:
    with pytest.raises(UploadError, match="there is no bucket no-such-bucket; check the address") as caught:
        mirror(machine(publish_url="s3://no-such-bucket/x"))
    assert not caught.value.transient


def test_missing_credentials_are_told_before_anything_is_asked(
    store: Store, machine: NewSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UploadError, match="there are no AWS credentials; set AWS_ACCESS_KEY_ID and"):
        mirror(machine())
    assert store.gateway.requests == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_PROFILE", "missing", r"The config profile \(missing\) could not be found; correct the AWS"),
        ("AWS_ENDPOINT_URL", "nonsense", "the endpoint is no URL; check AWS_ENDPOINT_URL"),
        ("AWS_DEFAULT_REGION", "no region", r"'no region' doesn't match a supported format; correct the AWS"),
        ("AWS_SECRET_ACCESS_KEY", "", "there are no AWS credentials|Partial credentials"),
    ],
)
def test_a_configuration_that_is_wrong_is_one_sentence(
    machine: NewSettings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UploadError, match=told):
        mirror(machine())


def test_no_credentials_are_in_errors_and_logs(
    store: Store, machine: NewSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "availability_pipeline")
    echo = f"<Error><Code>AccessDenied</Code><Message>{KEY_ID} {SECRET} {TOKEN}</Message></Error>".encode()
    store.gateway.instead = lambda r: saying(403, echo) if r.method == "PUT" else None
    with pytest.raises(UploadError, match="HTTP 403 AccessDenied") as caught:
        mirror(machine())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith("availability_pipeline")
    ]
    for secret in (KEY_ID, SECRET, TOKEN):
        assert not any(secret in text for text in [*ours, str(caught.value)])


def test_a_file_that_is_not_what_it_was_is_not_uploaded(store: Store, machine: NewSettings) -> None:
    settings = machine()
    file = settings.data_dir / "generations" / read_here(settings) / "latest.parquet"
    sample.writable(file).write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UploadError, match=r"latest\.parquet does not have its checksum; run `publish`"):
        mirror(settings)
    assert "latest.json" not in store.keys()  # noqa: SIM118 - it is no dict
    file.unlink()
    with pytest.raises(UploadError, match="because a file of it is missing; run `publish`"):
        mirror(settings)


@pytest.mark.parametrize("content", [b"{}", b'{"schema_version": 1', b"hello", b""])
def test_somebody_elses_latest_json_is_not_replaced(
    store: Store, machine: NewSettings, content: bytes
) -> None:
    store.put("latest.json", content)
    with pytest.raises(UploadError, match=r"latest\.json is not one of this program; check the address"):
        mirror(machine())
    assert store.keys() == ["latest.json"]


def test_a_newer_programs_latest_json_is_not_replaced(store: Store, machine: NewSettings) -> None:
    store.put("latest.json", b'{"schema_version": 99}')
    with pytest.raises(UploadError, match=r"schema version 99, .*; upgrade binance-futures-availability"):
        mirror(machine())


def test_generations_are_pruned_by_count(store: Store, machine: NewSettings) -> None:
    settings = machine(publish_keep="2")
    first = read_here(settings)
    mirror(settings)
    names = [first, *(publish_again(settings, number) for number in (2, 3))]
    age(store, *store.keys("generations/"))
    names.append(publish_again(settings, 4))
    assert store.latest()["generations"] == [names[3], names[2]]
    assert store.generations() == sorted(names[2:])


def test_fewer_are_kept_when_the_number_is_lowered(store: Store, machine: NewSettings) -> None:
    settings = machine()
    mirror(settings)
    publish_again(settings, 2)
    name = publish_small(settings.data_dir, 3)
    done = mirror(machine(publish_keep="1"))
    assert done
    assert done.removed == 2
    assert store.generations() == [name] == store.latest()["generations"]


def test_only_generations_are_removed(store: Store, machine: NewSettings) -> None:
    settings = machine(publish_keep="1")
    others = ["notes.txt", "generations/notes.txt", "generations/mine/file", "generations-old/x/y"]
    for path in others:
        store.put(path, b"dear diary")
    age(store, *others)
    mirror(settings)
    publish_again(settings, 2)
    assert set(others) <= set(store.keys())


def age(store: Store, *paths: str) -> None:
    """Make objects look two days old."""
    for path in paths:
        store.object(path).last_modified -= dt.timedelta(days=2)


def test_what_an_upload_left_that_died_is_removed_after_a_day(store: Store, machine: NewSettings) -> None:
    old, new = "20240101T000000Z-died", "20240102T000000Z-underway"
    for name in (old, new):
        store.put(f"generations/{name}/availability.duckdb", b"half")
    age(store, f"generations/{old}/availability.duckdb")
    settings = machine()
    mirror(settings)
    assert store.generations() == [new, read_here(settings)]


def test_what_cannot_be_removed_is_a_warning(
    store: Store, machine: NewSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = machine(publish_keep="1")
    mirror(settings)
    store.gateway.instead = lambda request: saying(403) if request.method == "DELETE" else None
    name = publish_again(settings, 2)
    assert store.latest()["generations"] == [name]
    assert "old generations could not be removed from object storage: HTTP 403 for" in caplog.text


def test_the_manifest_goes_first_when_a_generation_is_removed(store: Store, machine: NewSettings) -> None:
    settings = machine(publish_keep="1")
    mirror(settings)
    publish_again(settings, 2)
    removed = [request.path for request in store.gateway.requests if request.method == "DELETE"]
    assert removed[0].endswith("/manifest.json")
    assert len(removed) == len(here(settings))


def test_a_rollback_goes_there_as_well(store: Store, machine: NewSettings) -> None:
    settings = machine()
    first = read_here(settings)
    mirror(settings)
    second, third = (publish_again(settings, number) for number in (2, 3))
    store.gateway.requests.clear()
    rollback(settings.db_file, going_back(settings))
    assert read_here(settings) == second == store.latest()["generation"]
    assert store.latest()["generations"] == [second, first]
    assert store.gateway.count("PUT") == 1
    assert store.generations() == [first, second, third]
    fourth = publish_again(settings, 4)
    assert store.latest()["generations"] == [fourth, second, first]


def test_a_rollback_brings_back_what_was_pruned_there(store: Store, machine: NewSettings) -> None:
    settings = machine(publish_keep="1")
    mirror(settings)
    first, _ = read_here(settings), publish_again(settings, 2)
    rollback(settings.db_file, going_back(settings))
    assert store.latest()["generations"] == [first]
    assert store.object(f"generations/{first}/availability.duckdb").value == settings.db_file.read_bytes()


def test_a_rollback_that_is_refused_changes_nothing_and_can_be_repeated(
    store: Store, machine: NewSettings
) -> None:
    settings = machine()
    mirror(settings)
    first, second = read_here(settings), publish_again(settings, 2)
    store.gateway.instead = refuse("PUT", "latest.json")  # type: ignore[assignment]
    with pytest.raises(
        UploadError, match=f"nothing was rolled back, because generation {first} could not be read at"
    ):
        rollback(settings.db_file, going_back(settings))
    assert read_here(settings) == second == store.latest()["generation"]
    store.gateway.instead = lambda _: None
    rollback(settings.db_file, going_back(settings))
    assert read_here(settings) == first == store.latest()["generation"]


def test_two_machines_take_turns(store: Store, machine: NewSettings) -> None:
    one, two = machine("one"), machine("two")
    names = [publish_again(one, 2), publish_again(two, 3), publish_again(one, 4)]
    assert store.latest()["generations"] == names[::-1]
    assert store.object(f"generations/{names[1]}/availability.duckdb").value == two.db_file.read_bytes()
    # What the other one published since is not taken back by doing an upload again.
    mirror(two)
    assert store.latest()["generations"] == names[::-1]


def test_an_upload_that_was_overtaken_on_its_machine_lets_the_newer_one_be(
    store: Store, machine: NewSettings
) -> None:
    settings = machine()

    def overtake(request: Request) -> None:
        if request.path.endswith("2024.parquet"):
            store.gateway.instead = lambda _: None
            publish_again(settings, 2)

    store.gateway.instead = overtake
    with pytest.raises(UploadError, match="another one is read here by now") as caught:
        mirror(settings)
    assert caught.value.transient
    assert store.latest()["generation"] == read_here(settings)
    mirror(settings)


def test_no_rollback_comes_between_the_last_look_and_latest_json(
    store: Store, machine: NewSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("availability_pipeline.publishing.manifest.LOCK_TIMEOUT_SECONDS", 0.1)
    settings, refusals = machine(), []
    mirror(settings)

    def roll_back(request: Request) -> None:
        if request.method == "PUT" and request.path.endswith("latest.json"):
            store.gateway.instead = lambda _: None
            with pytest.raises(PublicationError, match="another process is publishing") as refusal:
                rollback(settings.db_file, going_back(settings))
            refusals.append(refusal)

    store.gateway.instead = roll_back
    publish_again(settings, 2)
    assert len(refusals) == 1
    assert store.latest()["generation"] == read_here(settings)


def test_without_a_generation_there_is_nothing_to_upload(machine: NewSettings) -> None:
    settings = machine()
    (settings.data_dir / "manifest.json").unlink()
    with pytest.raises(UploadError, match=r"there is no generation beside .*; run `publish`"):
        mirror(settings)
