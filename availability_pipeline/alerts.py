"""Alerts: what a message about a failure says, when one is sent, and how it gets to the webhook.

Which failures there are is found out elsewhere. The webhook's URL is a secret: only its host is ever logged.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from availability_pipeline.days import DayRange, utc_now, utc_today
from availability_pipeline.errors import UsageError
from availability_pipeline.network.failures import FAILURES, problem
from availability_pipeline.network.session import Session
from availability_pipeline.settings import VARIABLES, Settings

TIMEOUT_SECONDS = 10
"""How long the webhook may be silent."""

MAX_WHY = 1_500
"""Characters of an explanation that are sent."""

MAX_SUBJECTS = 200
"""How many subjects are remembered."""

MAX_UNSENT = 50
"""How many messages wait for a webhook that does not take them; the oldest are dropped."""

_PROGRAM = "binance-futures-availability"
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
        return f"{_PROGRAM} update {days.start}"
    return f"{_PROGRAM} backfill --start {days.start} --end {days.end}"


@dataclass
class Memory:
    """What is remembered from one look at the runs to the next; JSON in between."""

    since: float | None = None
    """Up to when ended runs were looked at, in seconds since 1970; None before the first look."""
    seen: list[str] = field(default_factory=list)
    """The ids of the last runs that were looked at."""
    subjects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By subject, the UTC `day` of its last message and how many `more` failures there were since."""
    unsent: list[str] = field(default_factory=list)
    """Messages that the webhook has not taken yet."""
    tries: int = 0
    """How often in a row it did not take one."""
    retry_at: str = ""
    """Not before when it is tried again, in UTC."""

    @classmethod
    def read(cls, text: str | None) -> Memory:
        """What `write` wrote; an empty one if it is of another form."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            _logger.warning("the cursor of the alerts was not readable; they start anew from now")
            return cls()

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def note(self, finding: Finding) -> None:
        """Log the failure and queue its message, or count it if its subject had one today."""
        today = utc_today().isoformat()
        known = self.subjects.get(finding.subject, {"day": "", "more": 0})
        if known["day"] == today:
            known["more"] += 1
            return
        text = finding.text(known["more"], known["day"])
        _logger.warning("%s", text)
        self.unsent = [*self.unsent, text][-MAX_UNSENT:]
        others = {name: entry for name, entry in self.subjects.items() if name != finding.subject}
        newest = list(others.items())[-MAX_SUBJECTS + 1 :]
        self.subjects = {**dict(newest), finding.subject: {"day": today, "more": 0}}


def alert_settings(environ: Mapping[str, str]) -> Settings:
    """What alerts need of the settings, and nothing else: another one that is wrong is what they may have to tell.

    A webhook that is no URL is logged, and the messages go to the log.
    """
    chosen = {
        VARIABLES[name][0]: environ.get(VARIABLES[name][0], "") for name in ("alert_webhook", "log_format")
    }
    for variable, value in chosen.items():
        try:
            Settings.load({variable: value})
        except UsageError as error:
            _logger.warning("%s", error)
            chosen[variable] = ""
    return Settings.load(chosen)


def deliver(memory: Memory, webhook: str | None) -> int:
    """Send what waits, and keep what the webhook does not take for a later try; returns how many were sent.

    Never raises because of the webhook. Without one, there is nothing to send to: the log has the messages.
    """
    if webhook is None:
        memory.unsent.clear()
    if memory.retry_at and utc_now() < dt.datetime.fromisoformat(memory.retry_at):
        return 0
    sent, began = 0, time.monotonic()
    while memory.unsent and webhook and time.monotonic() - began < _TIME_FOR_ALL:
        if problem := _post(webhook, memory.unsent[0]):
            _put_off(memory, webhook, problem)
            return sent
        del memory.unsent[0]
        sent += 1
        memory.tries, memory.retry_at = 0, ""
    return sent


_TIME_FOR_ALL = 30
"""Seconds; Dagster's daemon allows a look one minute in all."""


def _put_off(memory: Memory, webhook: str, problem: str) -> None:
    wait = min(_FIRST_WAIT * 2 ** min(memory.tries, 10), _LONGEST_WAIT)
    memory.tries += 1
    memory.retry_at = (utc_now() + wait).isoformat()
    _logger.warning(
        "the webhook at %s did not take a message (%s); waiting to be tried again in %d s: %d",
        urlsplit(webhook).hostname,
        problem,
        wait.total_seconds(),
        len(memory.unsent),
    )


def _post(webhook: str, text: str) -> str | None:
    """Send one message; returns what went wrong, without the URL that libraries put into their errors."""
    # Slack reads these three characters as its markup.
    message = {"text": html.escape(text, quote=False)}
    try:
        with (
            Session() as session,
            session.post(
                webhook,
                json=message,
                timeout=TIMEOUT_SECONDS,
                stream=True,
                headers={"Accept-Encoding": "identity"},
            ) as answer,
        ):
            if not 200 <= answer.status_code < 300:
                return f"HTTP {answer.status_code}"
            # Slack calls its "ok" HTML, so it is the text that tells a login page.
            page = next(answer.iter_content(64), b"").lstrip().startswith(b"<")
            return "it answered with a web page" if page else None
    except UsageError as error:
        return str(error)
    except FAILURES as error:
        return problem(error, TIMEOUT_SECONDS)
