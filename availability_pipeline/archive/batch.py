"""Many requests at once, with all their failures raised together, and the interface that reports progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from availability_pipeline.errors import ArchiveError, ArchiveFailures


class Progress:
    """A reporter that says nothing; the base of those that do."""

    def stage(self, text: str, total: int | None = None, unit: str = "") -> None:
        """Begin the next stage, of `total` units if that is known."""

    def grow(self, count: int) -> None:
        """The stage turned out to have that many more units."""

    def advance(self, count: int = 1) -> None:
        """That many units of the stage are done."""


Job = Callable[[], Iterable["Job"]]
"""Something to do, which may return more to do."""


def run_side_by_side(jobs: Iterable[Job], *, threads: int, attempted: int) -> None:
    """Run the jobs, and those that they return, until none is left.

    When as many have failed as there are threads and none has succeeded, the source is down, and what has not
    begun is left out: waiting for every time-out would tell nothing new.

    Args:
        jobs: What to do; a job fails by raising ArchiveError.
        threads: How many may run at once.
        attempted: How many contracts the whole batch is about, for the message of an error.

    Raises:
        ArchiveError: The only failure of the batch.
        ArchiveFailures: All failures, if there were several.
    """
    finished: SimpleQueue[Future[Sequence[Job]]] = SimpleQueue()
    outcomes = _Outcomes(threads)
    under_way = 0
    executor = ThreadPoolExecutor(threads, thread_name_prefix="archive")
    try:
        pending = list(jobs)
        while pending or under_way:
            for job in pending:
                executor.submit(outcomes.of, job).add_done_callback(finished.put)
            under_way += len(pending)
            pending = list(finished.get().result())
            under_way -= 1
    except BaseException:
        # An interrupted run must end, and give back what it holds, although a request may hang for long.
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()
    raise_together(outcomes.failures, attempted)


class _Outcomes:
    """What became of the jobs, kept by the threads that run them: a source that is down is left alone at once."""

    def __init__(self, threads: int) -> None:
        self.failures: list[ArchiveError] = []
        self._threads = threads
        self._succeeded = False

    def of(self, job: Job) -> Sequence[Job]:
        """Run the job, unless the source is down; what is left to do after it."""
        if len(self.failures) >= self._threads and not self._succeeded:
            return ()
        try:
            more = list(job())
        except ArchiveError as error:
            self.failures.append(error)
            return ()
        self._succeeded = True
        return more


def raise_together(failures: Sequence[ArchiveError], attempted: int) -> None:
    """Raise the failures of a batch, if there are any: one as it is, several as ArchiveFailures."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ArchiveFailures(failures, attempted)
