"""Alerts about failed runs and checks: what a message says, when one is sent, and how it is delivered."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from availability_pipeline.collecting.reporting import written
from availability_pipeline.dates import DayRange, parse_day, utc_now, utc_today
from availability_pipeline.defs.channels import PROGRAM, send
from availability_pipeline.defs.failures import root_cause
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import VARIABLES, log_format

MAX_WHY = 1_500
"""Characters of an explanation that are sent."""

MAX_SUBJECTS = 200
"""How many subjects are remembered."""

MAX_UNSENT = 50
"""How many messages wait for a channel that does not take them; the oldest are dropped."""

_TIME_FOR_ALL = 30
"""Seconds; Dagster's daemon allows a look one minute in all."""

_FIRST_WAIT, _LONGEST_WAIT = dt.timedelta(seconds=30), dt.timedelta(hours=1)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that failed in a run."""

    subject: str
    """What repeated failures are folded by: the name of the step or check."""
    what: str
    """A sentence that says what failed, without its full stop."""
    why: str
    """Why, with the first offenders and how to recover as far as the step or check knows it."""
    days: DayRange | None
    """The days that the run was about, if it was about some."""
    run_id: str
    job: str
    publication_blocked: bool = False
    """Whether the run did not publish because of it."""
    repeatable: bool = False
    """Whether collecting the days again is how to recover."""

    def text(self, more: int = 0, since: str = "") -> str:
        """The message, in plain words.

        Args:
            more: How many failures of the same subject were not told of.
            since: The UTC day since when they were not.
        """
        days = f" ({self.days})" if self.days else ""
        parts = [f"{self.what}{days}.", self.why[:MAX_WHY]]
        if self.publication_blocked:
            parts.append("Nothing new was published: readers keep the last good generation.")
        if self.repeatable and self.days:
            parts.append(f"The next scheduled run tries again; to do it now: `{_again(self.days)}`.")
        parts.append(f"Run {self.run_id}, job {self.job}.")
        if more:
            parts.append(
                f"Failures of {self.subject} since the message of {since} that were only counted: {more}."
            )
        return "\n".join(part for part in parts if part)


def _again(days: DayRange) -> str:
    if days.start == days.end:
        return f"{PROGRAM} update {days.start}"
    return f"{PROGRAM} backfill --start {days.start} --end {days.end}"


@dataclass
class Queue:
    """The messages that one channel has not taken yet."""

    messages: list[str] = field(default_factory=list)
    tries: int = 0
    """How often in a row it did not take one."""
    retry_at: str = ""
    """Not before when it is tried again, in UTC."""

    def send(self, number: int, url: str, deadline: float) -> int:
        """Send what waits, until the channel does not take a message; returns how many it took.

        Args:
            number: Which of the channels it is, for the log.
            url: Where to send to.
            deadline: When to leave the rest to the next look, by `time.monotonic`.
        """
        if self.retry_at and utc_now() < dt.datetime.fromisoformat(self.retry_at):
            return 0
        sent = 0
        while self.messages and time.monotonic() < deadline:
            if problem := send(url, self.messages[0]):
                self._put_off(number, problem)
                return sent
            del self.messages[0]
            sent += 1
            self.tries, self.retry_at = 0, ""
        return sent

    def _put_off(self, number: int, problem: str) -> None:
        wait = min(_FIRST_WAIT * 2 ** min(self.tries, 10), _LONGEST_WAIT)
        self.tries += 1
        self.retry_at = (utc_now() + wait).isoformat()
        _logger.warning(
            "the alert channel %d did not take a message (%s); waiting to be tried again in %d s: %d",
            number,
            problem,
            wait.total_seconds(),
            len(self.messages),
        )


@dataclass
class Memory:
    """What is remembered from one look at the runs to the next; JSON in between."""

    cursors: dict[str, str] = field(default_factory=dict)
    """By the kind of event that ends a run, Dagster's cursor of the last one that was looked at."""
    subjects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By subject, the UTC `day` of its last message and how many `more` failures there were since."""
    queues: list[Queue] = field(default_factory=list)
    """What waits, in the order of AVAILABILITY_ALERT_URLS: a URL that is corrected gets what waits for it."""

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """What `write` wrote; an empty one if it is of another form."""
        try:
            memory = cls(**json.loads(text or "{}"))
            memory.queues = [Queue(**entry) for entry in memory.queues]  # type: ignore[arg-type]
        except (ValueError, TypeError):
            _logger.warning("the cursor of the alerts was not readable; they start anew from now")
            return cls()
        return memory

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @property
    def waiting(self) -> int:
        """How many messages wait, over all channels."""
        return sum(len(queue.messages) for queue in self.queues)

    def note(self, finding: Finding) -> str | None:
        """Log the failure and return its message, or count it and return None if its subject had one today."""
        today = utc_today().isoformat()
        known = self.subjects.get(finding.subject, {"day": "", "more": 0})
        if known["day"] == today:
            known["more"] += 1
            return None
        text = finding.text(known["more"], known["day"])
        _logger.warning("%s", text)
        others = {name: entry for name, entry in self.subjects.items() if name != finding.subject}
        newest = list(others.items())[-MAX_SUBJECTS + 1 :]
        self.subjects = {**dict(newest), finding.subject: {"day": today, "more": 0}}
        return text

    def deliver(self, texts: Sequence[str], urls: Sequence[str]) -> int:
        """Send new messages and what waits to each channel; returns how many were taken.

        What a channel does not take is kept for a later try, with a warning; nothing is raised because of it.
        Without channels there is nothing to send to: the log has the messages.
        """
        self.queues = [self.queues[n] if n < len(self.queues) else Queue() for n in range(len(urls))]
        deadline = time.monotonic() + _TIME_FOR_ALL
        sent = 0
        for number, (queue, url) in enumerate(zip(self.queues, urls, strict=True), 1):
            queue.messages = [*queue.messages, *texts][-MAX_UNSENT:]
            sent += queue.send(number, url, deadline)
        return sent


_AT_ONCE = 200
_ENDINGS = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS)
_CHECK_FAILED = "DagsterAssetCheckFailedError"


def newly_ended(
    instance: dg.DagsterInstance, cursors: dict[str, str], location: str | None
) -> Iterator[dg.DagsterRun]:
    """The runs that have ended since the last look, oldest first; none at the first look ever.

    A look takes a bounded number of them, and leaves the rest to the next one.

    Args:
        instance: Whose runs.
        cursors: By kind of event, up to where was looked before; brought up to date.
        location: The code location whose runs count; runs without one, of the command line, always do.
    """
    for kind in _ENDINGS:
        if kind.value not in cursors:
            cursors[kind.value] = instance.fetch_run_status_changes(kind, limit=1).cursor
            continue
        found = instance.fetch_run_status_changes(
            kind, limit=_AT_ONCE, cursor=cursors[kind.value], ascending=True
        )
        cursors[kind.value] = found.cursor
        for record in found.records:
            run = instance.get_run_by_id(record.run_id)
            if run and (location is None or _location(run) in (None, location)):
                yield run


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin else None


def findings(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Finding]:
    """What failed in a run: steps, checks of severity ERROR, or the run itself."""
    if run.tags.get("dagster/will_retry") == "true":
        return []  # the run that it is retried by tells how it went
    checks = _failed_checks(instance, run)
    blocking = [check for check in checks if check.blocking and run.is_failure]
    found = [_of_checks(run, [check]) for check in checks if check not in blocking]
    if blocking:
        found.append(_of_checks(run, blocking))
    if run.is_failure:
        found += _of_steps(instance, run)
    if run.is_failure and not found:
        found.append(_of_run(instance, run))
    return found


def _events(
    instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType
) -> list[dg.DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [event for record in records if (event := record.event_log_entry.dagster_event)]


def _failed_checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.AssetCheckEvaluation]:
    evaluations = {
        event.asset_check_evaluation_data.asset_check_key: event.asset_check_evaluation_data
        for event in _events(instance, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    }
    return [
        evaluation
        for evaluation in evaluations.values()
        if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
    ]


def _of_checks(run: dg.DagsterRun, checks: list[dg.AssetCheckEvaluation]) -> Finding:
    names = " and ".join(f"{check.asset_key.to_user_string()}:{check.check_name}" for check in checks)
    return Finding(
        subject=names,
        what=f"The check {names} failed" if len(checks) == 1 else f"The checks {names} failed",
        why="\n".join(check.description or "It gave no reason." for check in checks),
        days=_days(run),
        run_id=run.run_id,
        job=run.job_name,
        publication_blocked=any(check.blocking for check in checks) and run.is_failure,
    )


def _of_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Finding]:
    return [
        Finding(
            subject=event.step_key or "step",
            what=f"The step {event.step_key} failed",
            why=_reason(event.step_failure_data),
            days=_days(run),
            run_id=run.run_id,
            job=run.job_name,
            repeatable=True,
        )
        for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE)
        if _class_name(event) != _CHECK_FAILED
    ]


def _of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Finding:
    events = _events(instance, run, dg.DagsterEventType.RUN_FAILURE)
    messages = [
        (event.job_failure_data and root_cause(event.job_failure_data.error)) or event.message
        for event in events
    ]
    return Finding(
        subject=f"run of {run.job_name}",
        what=f"The run of {run.job_name} failed",
        why=(messages[-1] if messages else None) or "It gave no reason.",
        days=_days(run),
        run_id=run.run_id,
        job=run.job_name,
        repeatable=True,
    )


def _class_name(event: dg.DagsterEvent) -> str | None:
    error = event.step_failure_data.error
    return error.cls_name if error else None


def _reason(failure: Any) -> str:
    """What a step said of its failure, or the first line of what went wrong in it."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return root_cause(failure.error) or "It gave no reason."


def _days(run: dg.DagsterRun) -> DayRange | None:
    one = run.tags.get("dagster/partition", "")
    start = run.tags.get("dagster/asset_partition_range_start", one)
    end = run.tags.get("dagster/asset_partition_range_end", one)
    try:
        return DayRange(parse_day(start), parse_day(end))
    except UsageError:  # a job of another kind, or of no days
        return None


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failure_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell AVAILABILITY_ALERT_URLS of failed runs and checks, once a day for each thing that fails."""
    # Not Settings.load: a setting that is wrong, this one included, is what alerts may have to tell.
    variable, _ = VARIABLES["alert_urls"]
    urls = os.environ.get(variable, "").split()
    origin = context.code_location_origin
    memory = Memory.read(context.cursor)
    with written(log_format()):
        ended = newly_ended(context.instance, memory.cursors, origin.location_name if origin else None)
        noted = [memory.note(finding) for run in ended for finding in findings(context.instance, run)]
        sent = memory.deliver([text for text in noted if text], urls)
    context.update_cursor(memory.write())
    return dg.SkipReason(f"new failures: {len(noted)}, messages sent: {sent}, waiting: {memory.waiting}")
