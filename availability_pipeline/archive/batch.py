"""Many requests at once, with all their failures raised together, and the interface that reports progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from queue import SimpleQueue
from threading import Lock, Thread, get_ident

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


class Turn:
    """What threads take turns by, but while they wait for the network.

    Python runs one of them at a time anyway. Where many are ready, they interrupt each other again and again: a page of
    a listing takes 4.9 ms of CPU in 64 threads, and 2.7 ms in turns.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holder = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = 0
        self._lock.release()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Let others have it in the meantime, if this thread has it."""
        if self._holder != get_ident():
            yield
            return
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


def run_side_by_side(jobs: Iterable[Job], *, threads: int, attempted: int, turn: Turn | None = None) -> None:
    """Run the jobs, and those that they return, until none is left.

    When as many have failed as there are threads and none has succeeded, the source is down, and what has not
    begun is left out: waiting for every time-out would tell nothing new.

    Args:
        jobs: What to do; a job fails by raising ArchiveError.
        threads: How many may run at once.
        attempted: How many contracts the whole batch is about, for the message of an error.
        turn: Taken by each job, which gives it up while it waits; None for jobs that do little else than wait.

    Raises:
        ArchiveError: The only failure of the batch.
        ArchiveFailures: All failures, if there were several.
    """
    batch = _Batch(threads, turn)
    batch.run(jobs)
    raise_together(batch.failures, attempted)


class _Batch:
    """Threads that take jobs from one queue; a pool of futures takes a third of the CPU of a small request."""

    def __init__(self, threads: int, turn: Turn | None) -> None:
        self.failures: list[ArchiveError] = []
        self._turn = turn or nullcontext()
        self._most = threads
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._left = 0
        """Jobs that are not over."""
        self._lock = Lock()
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()
        """The end of the last job, or what no job may raise."""
        self._succeeded = False
        self._is_broken_off = False

    def run(self, jobs: Iterable[Job]) -> None:
        """Run the jobs, and those that they return."""
        first = list(jobs)
        if not first:
            return
        try:
            self._add(first)
            if error := self._ended.get():
                raise error
        except BaseException:
            # An interrupted run must end, and give back what it holds, although a request may hang for long.
            self._is_broken_off = True
            self._dismiss()
            raise
        self._dismiss()
        for thread in self._threads:
            thread.join()

    def _add(self, jobs: Sequence[Job]) -> None:
        with self._lock:
            self._left += len(jobs)
            started = [
                Thread(target=self._work, name="archive") for _ in jobs[: self._most - len(self._threads)]
            ]
            self._threads += started
        for job in jobs:
            self._jobs.put(job)
        for thread in started:
            thread.start()

    def _dismiss(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) and not self._is_broken_off:
            try:
                if more := self._of(job):
                    self._add(more)
            except BaseException as error:  # noqa: BLE001 - raised where the batch is waited for
                self._ended.put(error)
                return
            with self._lock:
                self._left -= 1
                is_last = not self._left
            if is_last:
                self._ended.put(None)

    def _of(self, job: Job) -> Sequence[Job]:
        """Run the job, unless the source is down; what is left to do after it."""
        if len(self.failures) >= self._most and not self._succeeded:
            return ()
        try:
            with self._turn:
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
