"""Alerts about failed runs and checks: their text, when they are sent, and their delivery."""

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
from availability_pipeline.dates import DayRange, utc_now, utc_today
from availability_pipeline.defs.channels import PROGRAM, send
from availability_pipeline.defs.failures import root_cause
from availability_pipeline.defs.names import dataset_of_job
from availability_pipeline.defs.partitions import window_of
from availability_pipeline.settings import VARIABLES, log_format

MAX_WHY = 1_500
"""Characters of the reason that are sent."""

MAX_SUBJECTS = 200
"""Subjects whose last alert is kept."""

MAX_UNSENT = 50
"""Messages queued per channel; the oldest are dropped."""

_DELIVERY_SECONDS = 30
"""Dagster's daemon allows a tick one minute."""

_FIRST_WAIT, _LONGEST_WAIT = dt.timedelta(seconds=30), dt.timedelta(hours=1)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A failed step, check or run."""

    subject: str
    """The name of the step or check, by which repeated failures are folded."""
    what: str
    """What failed, as a sentence without full stop."""
    why: str
    """The reason, as the step or check states it."""
    days: DayRange | None
    """The days of the run, if any."""
    run_id: str
    job: str
    publication_blocked: bool = False
    """Whether the run did not publish because of it."""
    repeatable: bool = False
    """Whether the remedy is to collect the days again."""

    def text(self, more: int = 0, since: str = "") -> str:
        """The message.

        Args:
            more: Failures of the same subject that were only counted.
            since: The UTC day of the last message about it.
        """
        days = f" ({self.days})" if self.days else ""
        parts = [f"{self.what}{days}.", self.why[:MAX_WHY]]
        if self.publication_blocked:
            parts.append("Nothing new was published: readers keep the last good generation.")
        if self.repeatable and self.days:
            again = dataset_of_job(self.job).in_commands(f"`{_again(self.days)}`")
            parts.append(f"The next scheduled run tries again; to do it now: {again}.")
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
    """Undelivered messages of one channel."""

    messages: list[str] = field(default_factory=list)
    tries: int = 0
    """Consecutive failures."""
    retry_at: str = ""
    """End of the backoff, ISO in UTC."""

    def send(self, number: int, url: str, deadline: float) -> int:
        """Send queued messages until one fails or the deadline passes; returns the number sent.

        Args:
            number: Position of the channel, for the log.
            url: Its URL.
            deadline: By `time.monotonic`.
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
class AlertLog:
    """The sensor's state between ticks, kept as JSON in its cursor."""

    cursors: dict[str, str] = field(default_factory=dict)
    """Dagster's cursor of the last event seen, by kind of event."""
    subjects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By subject, the UTC `day` of its last message and the number of failures since (`more`)."""
    queues: list[Queue] = field(default_factory=list)
    """In the order of AVAILABILITY_ALERT_URLS, so that a corrected URL inherits its queue."""

    @classmethod
    def read(cls, text: str | None) -> AlertLog:
        """Parse what `write` returned; empty, with a warning, if it is not readable."""
        try:
            log = cls(**json.loads(text or "{}"))
            log.queues = [Queue(**entry) for entry in log.queues]  # type: ignore[arg-type]
        except (ValueError, TypeError):
            _logger.warning("the cursor of the alerts was not readable; they start anew from now")
            return cls()
        return log

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @property
    def waiting(self) -> int:
        """Undelivered messages of all channels."""
        return sum(len(queue.messages) for queue in self.queues)

    def note(self, alert: Alert) -> str | None:
        """Log the alert and return its message; only count it, and return None, if its subject had one today."""
        today = utc_today().isoformat()
        known = self.subjects.get(alert.subject, {"day": "", "more": 0})
        if known["day"] == today:
            known["more"] += 1
            return None
        text = alert.text(known["more"], known["day"])
        _logger.warning("%s", text)
        others = {name: entry for name, entry in self.subjects.items() if name != alert.subject}
        newest = list(others.items())[-MAX_SUBJECTS + 1 :]
        self.subjects = {**dict(newest), alert.subject: {"day": today, "more": 0}}
        return text

    def deliver(self, texts: Sequence[str], urls: Sequence[str]) -> int:
        """Send new and queued messages to every channel; returns the number sent.

        Failed deliveries are logged and queued, never raised. Without channels, the log alone has the messages.
        """
        self.queues = [self.queues[n] if n < len(self.queues) else Queue() for n in range(len(urls))]
        deadline = time.monotonic() + _DELIVERY_SECONDS
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
    """Runs that ended since the last tick, oldest first, at most `_AT_ONCE` of each kind; none at the first tick.

    Args:
        instance: The Dagster instance.
        cursors: `AlertLog.cursors`, which are advanced.
        location: The code location whose runs count; those of the command line, which have none, always do.
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


def alerts_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Alert]:
    """Alerts for the failed steps and checks of severity ERROR of a run, or for the run itself."""
    if run.tags.get("dagster/will_retry") == "true":
        return []  # the retrying run reports
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


def _of_checks(run: dg.DagsterRun, checks: list[dg.AssetCheckEvaluation]) -> Alert:
    names = " and ".join(f"{check.asset_key.to_user_string()}:{check.check_name}" for check in checks)
    return Alert(
        subject=names,
        what=f"The check {names} failed" if len(checks) == 1 else f"The checks {names} failed",
        why="\n".join(check.description or "It gave no reason." for check in checks),
        **_about(run),
        publication_blocked=any(check.blocking for check in checks) and run.is_failure,
    )


def _of_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Alert]:
    return [
        Alert(
            subject=event.step_key or "step",
            what=f"The step {event.step_key} failed",
            why=_reason(event.step_failure_data),
            **_about(run),
            repeatable=True,
        )
        for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE)
        if not (error := event.step_failure_data.error) or error.cls_name != _CHECK_FAILED
    ]


def _of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Alert:
    events = _events(instance, run, dg.DagsterEventType.RUN_FAILURE)
    messages = [
        (event.job_failure_data and root_cause(event.job_failure_data.error)) or event.message
        for event in events
    ]
    return Alert(
        subject=f"run of {run.job_name}",
        what=f"The run of {run.job_name} failed",
        why=(messages[-1] if messages else None) or "It gave no reason.",
        **_about(run),
        repeatable=True,
    )


def _reason(failure: Any) -> str:
    """The step's own description of its failure, or the first line of its root cause."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    return root_cause(failure.error) or "It gave no reason."


def _about(run: dg.DagsterRun) -> dict[str, Any]:
    return {"days": window_of(run.tags), "run_id": run.run_id, "job": run.job_name}


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failure_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Alert AVAILABILITY_ALERT_URLS to failed runs and checks, once per UTC day and subject."""
    # Not Settings.load: an invalid setting, this one included, may be what an alert has to report.
    variable, _ = VARIABLES["alert_urls"]
    urls = os.environ.get(variable, "").split()
    origin = context.code_location_origin
    log = AlertLog.read(context.cursor)
    with written(log_format()):
        ended = newly_ended(context.instance, log.cursors, origin.location_name if origin else None)
        noted = [log.note(alert) for run in ended for alert in alerts_of(context.instance, run)]
        sent = log.deliver([text for text in noted if text], urls)
    context.update_cursor(log.write())
    return dg.SkipReason(f"new failures: {len(noted)}, messages sent: {sent}, waiting: {log.waiting}")
