"""Requests side by side: no failure may get lost among many successes, and none may keep the program from ending.

Real threads, with events in place of waiting where an order matters.
"""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import pytest

from availability_pipeline.archive.batch import Job, Turn, raise_together, run_side_by_side
from availability_pipeline.errors import ArchiveFailures, ArchiveUnreachable
from availability_pipeline_tests.conftest import start_python


def fail(name: str) -> list[Job]:
    raise ArchiveUnreachable(f"{name} failed", url="http://x", symbol=name)


def test_nothing_to_do_is_done() -> None:
    run_side_by_side([], threads=3, attempted=0)


def test_jobs_that_jobs_return_are_run_too() -> None:
    done: list[int] = []

    def job(depth: int) -> list[Job]:
        done.append(depth)
        return [partial(job, depth - 1)] * 2 if depth else []

    run_side_by_side([partial(job, 3)], threads=4, attempted=1)
    assert sorted(done) == [0] * 8 + [1] * 4 + [2] * 2 + [3]


def test_as_many_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(4)

    def job() -> list[Job]:
        together.wait(timeout=10)
        return []

    run_side_by_side([job] * 8, threads=4, attempted=8)


def test_jobs_take_turns_and_wait_together() -> None:
    turn, together, working = Turn(), threading.Barrier(4), []

    def job() -> list[Job]:
        for _ in range(20):
            working.append(1)
            assert len(working) == 1
            time.sleep(0)  # others may run, if they can
            working.pop()
            with turn.given_up():
                together.wait(timeout=10)
        return []

    run_side_by_side([job] * 4, threads=4, attempted=4, turn=turn)


def test_a_failure_gives_the_turn_to_the_next() -> None:
    turn, done = Turn(), []

    def job(name: str) -> list[Job]:
        with turn.given_up():
            done.append(name)
            return fail(name)

    with pytest.raises(ArchiveFailures, match="9 of 9"):
        run_side_by_side([partial(job, str(i)) for i in range(9)], threads=9, attempted=9, turn=turn)
    assert sorted(done) == list("012345678")
    with turn.given_up():  # which this thread does not have
        assert not turn._lock.locked()


def test_one_failure_is_raised_as_it_is() -> None:
    with pytest.raises(ArchiveUnreachable, match="B: B failed"):
        run_side_by_side([list, partial(fail, "B"), list], threads=2, attempted=3)


def test_all_failures_are_raised_together_and_the_rest_is_done() -> None:
    done: list[int] = []

    def succeed() -> list[Job]:
        done.append(1)
        return []

    jobs: list[Job] = [succeed, partial(fail, "A"), succeed, partial(fail, "B"), succeed]
    with pytest.raises(ArchiveFailures, match="2 of 5 symbols failed and nothing was written") as raised:
        run_side_by_side(jobs, threads=2, attempted=5)
    assert {failure.symbol for failure in raised.value.failures} == {"A", "B"}
    assert len(done) == 3


def test_when_everything_fails_the_rest_is_not_tried() -> None:
    tried: list[str] = []

    def job(name: str) -> list[Job]:
        tried.append(name)
        time.sleep(0.01)
        return fail(name)

    with pytest.raises(ArchiveFailures) as raised:
        run_side_by_side([partial(job, str(i)) for i in range(500)], threads=4, attempted=500)
    # Three may have begun when the fourth fails.
    assert 4 <= len(raised.value.failures) == len(tried) <= 7


def test_one_success_means_that_the_rest_is_tried() -> None:
    first = threading.Event()

    def succeed() -> list[Job]:
        first.set()
        return []

    def job(name: str) -> list[Job]:
        first.wait(10)
        time.sleep(0.002)
        return fail(name)

    with pytest.raises(ArchiveFailures) as raised:
        run_side_by_side([succeed, *(partial(job, str(i)) for i in range(40))], threads=4, attempted=41)
    assert len(raised.value.failures) == 40


def test_a_mistake_in_the_program_is_no_failure_of_the_archive() -> None:
    def job() -> list[Job]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_side_by_side([job, partial(fail, "A"), list], threads=1, attempted=3)


def test_no_thread_outlives_its_batch() -> None:
    with pytest.raises(ArchiveFailures):
        run_side_by_side([partial(fail, str(i)) for i in range(100)], threads=8, attempted=100)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("archive")] == []


def test_a_batch_that_is_broken_off_does_not_wait_for_what_hangs() -> None:
    """As when a run is ended because it takes too long."""
    released, outcomes = threading.Event(), []

    def hang() -> list[Job]:
        outcomes.append(released.wait(60))
        return []

    def job() -> list[Job]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_side_by_side([hang, job], threads=2, attempted=2)
    assert outcomes == []
    released.set()


def test_no_failures_raise_nothing() -> None:
    raise_together([], 3)


CTRL_C = """
    import time
    from availability_pipeline.archive.batch import run_side_by_side

    def job():
        time.sleep(1)  # by then all are handed over, and the main thread waits for the first to end
        print("begun", flush=True)
        time.sleep(2)
        return []

    run_side_by_side([job] * 40, threads=2, attempted=40)
"""


def test_ctrl_c_ends_a_batch_after_what_is_under_way() -> None:
    with start_python(CTRL_C) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert output.count("begun") < 6
