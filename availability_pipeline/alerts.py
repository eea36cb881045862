"""Alerts: what a message about a failure says, when one is sent, and what waits for a channel that does not take it.

Which failures there are is found by `ended_runs`; how a message reaches people is known to `alert_channels`.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from availability_pipeline.alert_channels import PROGRAM, send
from availability_pipeline.days import DayRange, utc_now, utc_today

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
