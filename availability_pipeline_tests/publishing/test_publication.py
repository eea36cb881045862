"""Readers have the old published database or the new one, whole, whatever happens to a publication on its way."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import release, write
from availability_pipeline.publishing.audit import differences
from availability_pipeline.publishing.manifest import SCHEMA_VERSION
from availability_pipeline.publishing.opening import check_target
from availability_pipeline.publishing.write import publish
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.publishing import sample

Connection = duckdb.DuckDBPyConnection


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_tidy(folder: Path) -> None:
    """There are whole generations and what readers open, and nothing else."""
    assert _names(folder) == {"availability.duckdb", "generations", "manifest.json", "working"}
    assert 1 <= len(sample.generations(folder)) <= 3
    assert _names(folder / "generations") - {".lock"} == set(sample.generations(folder))


def assert_unpublished(folder: Path) -> None:
    """There is nothing for readers, and nothing that takes space."""
    assert _names(folder) == {"generations", "working"}
    assert _names(folder / "generations") <= {".lock"}


def test_the_report_tells_what_was_published(tmp_path: Path) -> None:
    report = sample.publish_sample(tmp_path)
    assert report.path == tmp_path / "availability.duckdb"
    assert (report.rows, report.symbols) == (len(sample.DAYS) * len(sample.SPANS), len(sample.SPANS))
    assert report.files == len(sample.sample_files())
    assert report.bytes == report.path.stat().st_size
    assert report.folder == tmp_path / "generations" / report.generation
    assert report.manifest == tmp_path / "manifest.json"
    assert 0 < report.seconds < 60


def test_nothing_is_left_beside_the_published_file(tmp_path: Path) -> None:
    sample.publish_sample(tmp_path)
    assert_tidy(tmp_path)


def test_publishing_again_replaces_the_content(tmp_path: Path) -> None:
    sample.copy_published(tmp_path)
    sample.publish_sample(tmp_path, sample.sample_files(seed=2))
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        total = published.execute("SELECT sum(file_size_bytes) FROM daily_availability").fetchone()
    assert total == (sum(size for size, _ in sample.sample_files(seed=2).values()),)


def test_an_open_file_of_a_reader_is_never_written_to(tmp_path: Path) -> None:
    path = sample.copy_published(tmp_path).path
    before = path.read_bytes()
    with path.open("rb") as reader:
        sample.publish_sample(tmp_path, sample.sample_files(seed=2))
        assert reader.read() == before != path.read_bytes()


def test_the_working_database_stays_usable_after_a_publication(tmp_path: Path) -> None:
    with sample.working_database(tmp_path) as working:
        for _ in range(2):
            publish(working, tmp_path / "availability.duckdb", "run-1")
        assert working.execute("SELECT count(*) FROM daily_availability WHERE url IS NULL").fetchone() == (0,)


def test_a_missing_folder_is_made_and_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "deep" / "down" / "real.duckdb")
    with sample.working_database(tmp_path) as working:
        report = publish(working, tmp_path / "link.duckdb", "run-1")
    assert report.path == tmp_path / "deep" / "down" / "real.duckdb"
    assert (tmp_path / "link.duckdb").is_symlink()


def test_an_empty_working_database_is_not_published(tmp_path: Path) -> None:
    with (
        connect(tmp_path / "working.duckdb") as working,
        pytest.raises(PublicationError, match="run `backfill`"),
    ):
        publish(working, tmp_path / "availability.duckdb", "run-1")
    assert _names(tmp_path) == {"working.duckdb", "generations"}
    assert _names(tmp_path / "generations") == set()


CORRUPTIONS = {
    "rows contradict themselves": "UPDATE availability SET status_code = 404 WHERE symbol = 'BTCUSDT'",
    "contradict themselves": "UPDATE availability SET last_modified = NULL WHERE date = '2024-02-01'",
    "4 rows contradict":
        "UPDATE availability SET file_size_bytes = 1 WHERE date = '2024-01-12' AND NOT available",
    "70 rows contradict": "UPDATE availability SET status_code = 403 WHERE symbol = 'NEWUSDT'",
}  # fmt: skip


@pytest.mark.parametrize("message", CORRUPTIONS)
def test_wrong_rows_fail_the_audit_and_the_old_file_stays(tmp_path: Path, message: str) -> None:
    before = sample.copy_published(tmp_path).path.read_bytes()
    with sample.working_database(tmp_path) as working:
        working.execute(CORRUPTIONS[message])
        with pytest.raises(PublicationError, match=message):
            publish(working, tmp_path / "availability.duckdb", "run-2")
    assert (tmp_path / "availability.duckdb").read_bytes() == before
    assert_tidy(tmp_path)


TAMPERINGS = {
    "daily_availability has 419 rows":
        "DELETE FROM availability_by_date WHERE symbol = 'ETHUSDT' AND date = '2024-02-01'",
    "symbol_timeline has 421 rows": "INSERT INTO availability_by_symbol FROM availability_by_symbol LIMIT 1",
    "1 rows of availability_by_symbol are duplicates":
        "INSERT INTO availability_by_symbol FROM availability_by_symbol LIMIT 1",
    "daily_availability differs from the working table in file_size_bytes":
        "UPDATE availability_by_date SET file_size_bytes = 7 WHERE symbol = 'BTCUSDT' AND date = '2024-02-01'",
    "out of order": "CREATE OR REPLACE TABLE availability_by_date AS FROM availability_by_date ORDER BY symbol, date",
    "symbols differs from the working database": "UPDATE symbols SET quote = 'U' WHERE symbol = 'BTCUSDT'",
    "contract_history differs": "UPDATE contract_history SET valid_to = valid_to + INTERVAL 1 DAY",
    "collection_runs differs": "DELETE FROM collection_runs",
    "published_days does not agree": "UPDATE published_days SET file_count = 0 WHERE date = '2024-02-01'",
    "published_days does not agree with": "UPDATE published_days SET missing = missing + 1",
    "status_spans differs": "UPDATE status_spans SET evidence = 'size' WHERE symbol = 'BTCUSDT'",
    "symbol_lifecycle differs": "UPDATE symbol_lifecycle SET is_open = NOT is_open",
    "working database; published_days does not": "DELETE FROM status_spans WHERE symbol = 'NEWUSDT'",
    "published_symbols does not agree": "UPDATE published_symbols SET first_file_day = NULL WHERE symbol = 'BTCUSDT'",
    "publication does not agree": "UPDATE publication SET data_through = '2024-02-01'",
    "daily_availability differs from the working table in has_checksum":
        "UPDATE availability_by_date SET has_checksum = false WHERE symbol = 'BTCUSDT' AND date = '2024-02-01'",
    "daily_availability has other columns or urls":
        "CREATE OR REPLACE VIEW daily_availability AS "
        "SELECT date, symbol, available, file_size_bytes, last_modified, 'u' AS url, status_code, probe_timestamp "
        "FROM availability_by_date",
    "has other columns": "ALTER TABLE availability_by_date ALTER status_code TYPE BIGINT",
}  # fmt: skip


@pytest.mark.parametrize("message", TAMPERINGS)
def test_each_difference_from_the_working_database_is_named(tmp_path: Path, message: str) -> None:
    path = sample.writable(sample.copy_published(tmp_path).path)
    with duckdb.connect(path) as published:
        published.execute(TAMPERINGS[message])
    with sample.working_database(tmp_path) as working:
        assert message in "; ".join(differences(working, path))


def test_a_file_that_differs_from_the_working_database_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "daily_availability has 419 rows"
    audit = write.audit

    def damaged_audit(working: Connection, path: Path, *given: Any) -> None:
        with duckdb.connect(path) as new:
            new.execute(TAMPERINGS[message])
        audit(working, path, *given)

    monkeypatch.setattr(write, "audit", damaged_audit)
    with pytest.raises(PublicationError, match=message):
        sample.publish_sample(tmp_path)
    assert_unpublished(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_cut_short_fails_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    audit = write.audit

    def cut(working: Connection, path: Path, *given: Any) -> None:
        os.truncate(path, int(path.stat().st_size * share))
        audit(working, path, *given)

    monkeypatch.setattr(write, "audit", cut)
    with pytest.raises(PublicationError, match="could not be made"):
        sample.publish_sample(tmp_path)
    assert_unpublished(tmp_path)


def _child(program: str, folder: Path) -> subprocess.Popen[str]:
    opening = (
        "import os, resource, signal, sys, time\n"
        "from pathlib import Path\n"
        "from availability_pipeline.publishing import write as publication\n"
        "from availability_pipeline_tests.publishing import sample\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", opening + program, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_kill_9_leaves_the_old_file_and_the_next_publication_tidies_up(tmp_path: Path) -> None:
    before = sample.copy_published(tmp_path).path.read_bytes()
    program = """
def wait(*_):
    print("ready", flush=True)
    time.sleep(60)
publication.audit = wait
sample.publish_sample(Path(sys.argv[1]))
"""
    with _child(program, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.kill()
    assert (tmp_path / "availability.duckdb").read_bytes() == before
    assert [name for name in _names(tmp_path / "generations") if name.endswith(".new")] != []
    sample.publish_sample(tmp_path)
    assert_tidy(tmp_path)


def test_leftovers_make_room_before_the_new_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, folder = "0123abcd.new", tmp_path / "generations"
    (folder / f".generation.{dead}" / "daily_availability").mkdir(parents=True)
    (folder / f".generation.{dead}" / "daily_availability" / "2024.parquet").write_text("of a killed run")
    (folder / "20200101T000000Z-orphan").mkdir()
    (folder / "notes").mkdir()
    for name in (".availability.duckdb", ".manifest.json", ".other.duckdb"):
        (tmp_path / f"{name}.{dead}").write_text("of a run that was killed, or of somebody else")
    seen: list[set[str]] = []
    monkeypatch.setattr(write, "audit", lambda *_: seen.append(_names(tmp_path) | _names(folder)))
    sample.publish_sample(tmp_path)
    assert {name for name in seen[0] if "0123abcd" in name} == {f".other.duckdb.{dead}"}
    assert "20200101T000000Z-orphan" not in seen[0]
    assert "notes" in seen[0]


def test_the_draft_of_a_publisher_that_is_alive_is_left_to_it(tmp_path: Path) -> None:
    program = """
audit = publication.audit
def wait(*given):
    print("ready", flush=True)
    sys.stdin.readline()
    audit(*given)
publication.audit = wait
with sample.working_database(Path(sys.argv[1])) as working:
    publication.publish(working, Path(sys.argv[1]).parent / "availability.duckdb", "slow")
print("published", flush=True)
"""
    (tmp_path / "child").mkdir()
    with _child(program, tmp_path / "child") as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        sample.publish_sample(tmp_path)
        (tmp_path / "link.duckdb").symlink_to(tmp_path / "availability.duckdb")
        release.remove_leftovers(tmp_path / "link.duckdb")
        said, _ = child.communicate("go on\n", timeout=60)
    assert said == "published\n"
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        assert published.execute("SELECT run_id FROM publication").fetchall() == [("slow",)]


def test_an_interrupt_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(write, "audit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sample.publish_sample(tmp_path)
    assert_unpublished(tmp_path)


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path: Path) -> None:
    before = sample.copy_published(tmp_path).path.read_bytes()
    program = """
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.write import publish
with sample.working_database(Path(sys.argv[1])) as working:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        publish(working, Path(sys.argv[1]) / "availability.duckdb", "run-2")
    except PublicationError as error:
        print(error, flush=True)
    os._exit(0)
"""
    with _child(program, tmp_path) as child:
        said, _ = child.communicate(timeout=60)
    assert said.count("\n") == 1
    assert "could not be made" in said
    assert "readers keep the one from before" in said
    assert (tmp_path / "availability.duckdb").read_bytes() == before
    assert_tidy(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        sample.working_database(tmp_path) as working,
        pytest.raises(
            PublicationError, match=r"file/availability\.duckdb could not be made \(Not a directory\)"
        ),
    ):
        publish(working, tmp_path / "file" / "availability.duckdb", "run-1")


def test_the_working_database_is_not_overwritten(tmp_path: Path) -> None:
    with (
        sample.working_database(tmp_path) as working,
        pytest.raises(PublicationError, match="is the working database"),
    ):
        publish(working, tmp_path / "working" / "availability.duckdb", "run-1")


def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary")
    with duckdb.connect(tmp_path / "mine.duckdb") as mine:
        mine.execute("CREATE TABLE precious AS SELECT 1")
    with sample.working_database(tmp_path) as working:
        for name, why in (("notes.txt", "is not a published"), ("mine.duckdb", "of something else; set")):
            before = (tmp_path / name).read_bytes()
            with pytest.raises(PublicationError, match=why):
                publish(working, tmp_path / name, "run-1")
            assert (tmp_path / name).read_bytes() == before


def test_an_empty_file_is_replaced(tmp_path: Path) -> None:
    path = sample.copy_published(tmp_path).path
    os.truncate(sample.writable(path), 0)
    sample.publish_sample(tmp_path)
    with duckdb.connect(path, read_only=True) as published:
        assert published.execute("SELECT run_id FROM publication").fetchall() == [("run-1",)]


def _refusal(folder: Path, name: str = "availability.duckdb") -> str:
    """The sentence that a publication and the early check refuse with; the file stays as it is."""
    before = (folder / name).read_bytes()
    with sample.working_database(folder) as working, pytest.raises(PublicationError) as published:
        publish(working, folder / name, "run-2")
    with pytest.raises(PublicationError) as checked:
        check_target(folder / name, folder / "working" / "availability.duckdb")
    assert (folder / name).read_bytes() == before
    assert str(published.value) == str(checked.value)
    assert "\n" not in str(checked.value)
    return str(checked.value)


UNRECOGNISABLE = "availability.duckdb cannot be recognised as a published database ("
ELSEWHERE = "set AVAILABILITY_DB_PATH to another file"


def test_a_damaged_file_is_not_replaced(tmp_path: Path) -> None:
    os.truncate(sample.writable(sample.copy_published(tmp_path).path), 20_000)
    message = _refusal(tmp_path)
    assert "availability.duckdb is damaged (IO Error: Could not read enough bytes" in message
    assert message.endswith(f"; move it away or {ELSEWHERE}")


def test_a_file_that_another_program_has_open_for_writing_is_not_replaced(tmp_path: Path) -> None:
    sample.writable(sample.copy_published(tmp_path).path)
    program = """
import duckdb
held = duckdb.connect(sys.argv[1] + "/availability.duckdb")
print("ready", flush=True)
time.sleep(60)
"""
    with _child(program, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            message = _refusal(tmp_path)
            assert UNRECOGNISABLE in message
            assert message.endswith(f"; close it in the other process, or {ELSEWHERE}")
        finally:
            child.kill()


def test_an_encrypted_file_is_not_replaced(tmp_path: Path) -> None:
    with duckdb.connect() as other:
        other.execute("SET force_mbedtls_unsafe = true")
        other.execute(f"ATTACH '{tmp_path}/availability.duckdb' AS mine (ENCRYPTION_KEY 'key')")
        other.execute("CREATE TABLE mine.precious AS SELECT 1")
    message = _refusal(tmp_path)
    assert UNRECOGNISABLE in message
    assert "move it away" not in message


def test_one_table_of_the_same_name_is_not_enough(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "books.duckdb") as books:
        books.execute("CREATE TABLE publication AS SELECT 'Moby-Dick' AS title")
    assert _refusal(tmp_path, "books.duckdb").endswith(f"is a DuckDB database of something else; {ELSEWHERE}")


def test_a_newer_published_database_is_not_replaced(tmp_path: Path) -> None:
    with duckdb.connect(sample.writable(sample.copy_published(tmp_path).path)) as newer:
        newer.execute("UPDATE publication SET schema_version = 99")
    assert _refusal(tmp_path).endswith(
        f"availability.duckdb has schema version 99, and this program knows only {SCHEMA_VERSION}; "
        "upgrade binance-futures-availability"
    )


@pytest.mark.parametrize("kind", ["itself", "link", "hard link"])
def test_the_early_check_knows_the_working_database_by_any_name(tmp_path: Path, kind: str) -> None:
    working, target = tmp_path / "working.duckdb", tmp_path / "published.duckdb"
    with connect(working):
        pass
    if kind == "itself":
        target = working
    elif kind == "link":
        target.symlink_to(working)
    else:
        target.hardlink_to(working)
    with pytest.raises(PublicationError, match="is the working database"):
        check_target(target, working)


def test_the_early_check_needs_no_working_database_yet(tmp_path: Path) -> None:
    with pytest.raises(PublicationError, match="is the working database"):
        check_target(tmp_path / "working.duckdb", tmp_path / "working.duckdb")
    check_target(tmp_path / "none" / "published.duckdb", tmp_path / "working.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_the_early_check_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for target in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(PublicationError, match=f"{target} is not a file; {ELSEWHERE}"):
            check_target(target, tmp_path / "working.duckdb")


def test_the_early_check_passes_a_published_database(tmp_path: Path) -> None:
    path = sample.copy_published(tmp_path).path
    before = path.read_bytes()
    check_target(path, tmp_path / "working" / "availability.duckdb")
    assert path.read_bytes() == before
    assert_tidy(tmp_path)


def test_a_gap_between_collected_days_is_published_as_such(tmp_path: Path) -> None:
    sample.publish_sample(tmp_path, days=[sample.DAYS[0], sample.DAYS[9]])
    with duckdb.connect(tmp_path / "availability.duckdb", read_only=True) as published:
        days = published.execute("SELECT date, row_count FROM published_days").fetchall()
    assert days == [(sample.FIRST_DAY, 6), (sample.FIRST_DAY + dt.timedelta(days=9), 6)]
