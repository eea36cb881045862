"""What Dagster's records say about runs that have ended: which ones, and what failed in them.

Read by the sensor `failure_alerts`; what is done about it is the business of `alerts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from availability_pipeline.alerts import Finding, Memory
from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.failures import root_cause

OVERLAP_SECONDS = 60
"""How far a look goes back before the last one: a run's record may appear a little after its own time."""

_AT_ONCE = 200
_MAX_SEEN = 1_000
_ENDED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
_CHECK_FAILED = "DagsterAssetCheckFailedError"


def newly_ended(
    instance: dg.DagsterInstance, memory: Memory, location: str | None
) -> Iterator[dg.DagsterRun]:
    """The runs that have ended since the last look, oldest first; none at the first look ever.

    Args:
        instance: Whose runs.
        memory: What was looked at before; brought up to date.
        location: The code location whose runs count; runs without one, of the command line, always do.
    """
    if memory.since is None:
        newest = instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED), limit=_AT_ONCE, order_by="update_timestamp"
        )
        memory.since = newest[0].update_timestamp.timestamp() if newest else 0.0
        memory.seen = [record.dagster_run.run_id for record in newest]
        return
    earliest = memory.since - OVERLAP_SECONDS
    for record in list(_updated_after(instance, earliest)):
        run, updated = record.dagster_run, record.update_timestamp.timestamp()
        memory.since = max(memory.since, updated)
        # Tags that are added later update a record as well, but do not change when its run ended.
        if run.run_id in memory.seen or (record.end_time or updated) <= earliest:
            continue
        memory.seen = [*memory.seen, run.run_id][-_MAX_SEEN:]
        if location is None or _location(run) in (None, location):
            yield run


def _updated_after(instance: dg.DagsterInstance, moment: float) -> Iterator[Any]:
    while True:
        after = dt.datetime.fromtimestamp(moment, dt.UTC)
        records = instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED, updated_after=after),
            limit=_AT_ONCE,
            order_by="update_timestamp",
            ascending=True,
        )
        yield from records
        if len(records) < _AT_ONCE:
            return
        moment = records[-1].update_timestamp.timestamp()


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
