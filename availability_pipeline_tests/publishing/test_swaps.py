"""Readers while generations change: other processes that read, publish at the same time, are killed, or have no space.

Two working databases take turns, and the first letter of a run tells which one it published, so that a mixture of two
generations would be seen.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import DATABASE, damaged_files, read_manifest
from availability_pipeline.publishing.release import rollback
from availability_pipeline.publishing.write import publish
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.conftest import start_python
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.test_publication import assert_tidy

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

TOTALS = {"a": sample.total_bytes(1), "b": sample.total_bytes(2)}

Read = tuple[int, int]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """The two working databases, closed."""
    for name, seed in (("a", 1), ("b", 2)):
        with sample.working_database(tmp_path / name, sample.sample_files(seed)):
            pass
    return {name: tmp_path / name / "working" / "availability.duckdb" for name in TOTALS}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out" / "working").mkdir(parents=True)
    return tmp_path / "out" / "availability.duckdb"


def order_of(run: str) -> Read:
    """When a run named `a-kill-number` published."""
    _, kill, number = run.split("-")
    return int(kill), int(number)


def assert_whole(target: Path) -> tuple[Read, Read]:
    """The database and the manifest are each one generation, whole; when these were published."""
    with duckdb.connect() as reader:
        reader.execute("ATTACH ? AS published (READ_ONLY)", [str(target)])
        [(run, rows)] = reader.execute("SELECT run_id, row_count FROM published.publication").fetchall()
        count = "SELECT count(*), sum(file_size_bytes) FROM published.daily_availability"
        assert reader.execute(count).fetchall() == [(rows, TOTALS[run[0]])]
        manifest = read_manifest(target.parent / "manifest.json")
        assert manifest is not None
        assert list(damaged_files(target.parent, manifest)) == []
        years = [
            str(target.parent / file.path) for file in manifest.files if "daily_availability" in file.path
        ]
        count = "SELECT count(*), sum(file_size_bytes) FROM read_parquet(?)"
        assert reader.execute(count, [years]).fetchall() == [(manifest.rows, TOTALS[manifest.run_id[0]])]
    return order_of(run), order_of(manifest.run_id)


PUBLISHER = """
    import os, random, signal, sys, time, traceback
    from pathlib import Path
    from availability_pipeline.publishing.write import publish
    from availability_pipeline.warehouse.database import connect

    mode, target, *sources = sys.argv[1:]
    moments, steps = random.Random(20240115), [0]

    def die_at(step):
        last = [None]
        def count(event, given):
            if event in STEPS:
                name = os.fsdecode(given[1 if event in ("os.rename", "os.link") else 0])
                kind = event, os.path.splitext(name)[1]
                # Of files of one kind that are put into a draft one after the other, the first is enough.
                steps[0] += kind != last[0]
                if kind == last[0]:
                    return
                last[0] = kind
                if steps[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)

    STEPS = ("os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.copyfile")

    def publish_often(kill, times, began):
        for number in range(times):
            name = (kill + number) % 2
            with connect(Path(sources[name])) as working:
                if number == 0:
                    os.write(began, b"!")
                    if mode == "steps":
                        die_at(kill)
                publish(working, Path(target), f"{'ab'[name]}-{kill}-{number}")

    def end_of(kill):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                publish_often(kill, 1 if mode == "steps" else 1000, writable)
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        os.close(writable)
        os.read(readable, 1)
        os.close(readable)
        if mode == "moments":
            time.sleep(moments.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    for kill in range(1, 1000):
        print(end_of(kill), flush=True)
        sys.stdin.readline()
"""
"""A process with everything imported, which forks one that publishes and is killed, as often as it is asked."""


def killed_publishers(mode: str, target: Path, sources: dict[str, Path]) -> Iterator[int]:
    """Let publishers be killed one after the other; how each ended (9 is a kill)."""
    process = start_python(PUBLISHER, mode, target, *sources.values(), stdin=subprocess.PIPE)
    with process:
        assert process.stdin
        assert process.stdout
        try:
            for line in process.stdout:
                yield int(line)
                process.stdin.write("on\n")
                process.stdin.flush()
        finally:
            process.kill()


def assert_kills_do_no_harm(mode: str, kills: int, target: Path, sources: dict[str, Path]) -> int:
    """Kill so many publishers, or until one lives to its end; how many were killed."""
    with connect(sources["a"]) as working:
        publish(working, target, "a-0-0")
    before, killed = assert_whole(target), 0
    for status in killed_publishers(mode, target, sources):
        after = assert_whole(target)
        assert after[0] >= before[0]
        assert after[1] >= before[1]
        assert after[1] <= after[0]
        before = after
        killed += status == 9
        if status != 9 or killed == kills:
            break
    with connect(sources["b"]) as working:
        publish(working, target, "b-9999-0")
    assert assert_whole(target) == ((9999, 0), (9999, 0))
    assert_tidy(target.parent)
    return killed


def test_publishers_killed_at_random_moments_leave_the_old_or_the_new(
    target: Path, sources: dict[str, Path]
) -> None:
    assert assert_kills_do_no_harm("moments", 10, target, sources) == 10


def test_publishers_killed_before_each_step_leave_the_old_or_the_new(
    target: Path, sources: dict[str, Path]
) -> None:
    # Making the draft, taking over a year, naming the generation, the second name of the database, two swaps, pruning.
    assert assert_kills_do_no_harm("steps", 1000, target, sources) >= 7


READER = """
    import json, sys, time
    from pathlib import Path
    import duckdb
    from availability_pipeline.queries.api import AvailabilityQueries

    target, totals = Path(sys.argv[1]), json.loads(sys.argv[2])
    database, manifest, looks, runs, missed = duckdb.connect(), target.parent / "manifest.json", 0, set(), 0
    print("ready", flush=True)
    while not (target.parent.parent / "stop").exists():
        with AvailabilityQueries(target) as queries:
            run = queries.publication.run_id
            rows = queries.get_availability_range("2024-01-10", "2024-03-19")
            assert sum(row["file_size_bytes"] or 0 for row in rows) == totals[run[0]], run
            assert queries.get_status().publication.run_id == run
        said = json.loads(manifest.read_text())
        files = [str(manifest.parent / file["path"]) for file in said["files"] if "/daily_" in file["path"]]
        query = "SELECT count(*), sum(file_size_bytes) FROM read_parquet(?)"
        try:
            found = database.execute(query, [files]).fetchall()
        except duckdb.IOException:
            # Only one that was three generations behind by then.
            assert json.loads(manifest.read_text())["generation"] != said["generation"]
            missed += 1
            continue
        assert found == [(said["rows"], totals[said["run_id"][0]])], (found, said)
        looks += 1
        runs.add(run)
        time.sleep(0.1)
    print(json.dumps([looks, len(runs), missed]))
"""


def swap_often(target: Path, sources: dict[str, Path], swaps: int) -> None:
    """Publish the two in turn, and after every second publication go back twice."""
    with ExitStack() as opened:
        working = {name: opened.enter_context(connect(path)) for name, path in sources.items()}
        for number in range(swaps):
            if number % 4 > 1:
                rollback(target)
            else:
                name = "ab"[number % 2]
                publish(working[name], target, f"{name}-1-{number}")


def test_readers_in_other_processes_see_one_generation_while_others_are_swapped(
    target: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    swap_often(target, sources, 2)
    readers = [start_python(READER, target, json.dumps(TOTALS)) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        swap_often(target, sources, 12)
    finally:
        (tmp_path / "stop").touch()
        said = [reader.communicate(timeout=60) for reader in readers]
    assert [(reader.returncode, errors) for reader, (_, errors) in zip(readers, said, strict=True)] == [
        (0, "")
    ] * 2
    for looks, runs, missed in (json.loads(output) for output, _ in said):
        assert looks >= runs > 1
        assert missed < looks


TWO = """
    import sys
    from pathlib import Path
    from availability_pipeline.publishing.write import publish
    from availability_pipeline.warehouse.database import connect

    name, target, source = sys.argv[1:]
    with connect(Path(source)) as working:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(4):
            print(publish(working, Path(target), f"{name}-1-{number}").generation, flush=True)
"""


def test_two_publishers_at_once_take_turns(target: Path, sources: dict[str, Path]) -> None:
    publishers = [
        start_python(TWO, name, target, source, stdin=subprocess.PIPE) for name, source in sources.items()
    ]
    for publisher in publishers:
        assert publisher.stdout
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        assert publisher.stdin
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    said = [publisher.communicate(timeout=120) for publisher in publishers]
    assert [errors for _, errors in said] == ["", ""]
    made = [name for output, _ in said for name in output.split()]
    assert len(set(made)) == 8
    database, manifest = assert_whole(target)
    assert database == manifest == (1, 3)
    assert_tidy(target.parent)


def test_a_disk_that_fills_up_at_any_point_leaves_the_old_generation(
    small_disk: Path, sources: dict[str, Path]
) -> None:
    target = small_disk / "out" / "availability.duckdb"
    with connect(sources["a"]) as working:
        publish(working, target, "a-1-0")
    needed = sum(path.stat().st_size for path in (target.parent / "generations").rglob("*") if path.is_file())
    free = shutil.disk_usage(small_disk).free
    with connect(sources["b"]) as working:
        for number, share in enumerate((0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9)):
            (small_disk / "ballast").write_bytes(b"\0" * int(free - share * needed))
            with pytest.raises(
                PublicationError, match=r"could not be made .* readers keep the one from before"
            ):
                publish(working, target, f"b-2-{number}")
            assert assert_whole(target) == ((1, 0), (1, 0))
            (small_disk / "ballast").unlink()
        publish(working, target, "b-3-0")
    assert assert_whole(target) == ((3, 0), (3, 0))
    assert len(list((target.parent / "generations").glob("*/" + DATABASE))) == 2
