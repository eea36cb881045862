"""What Dagster's records say about runs that have ended: which ones, and what failed in them.

Read by the sensor `failure_alerts`; `alerts` decides which of it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from availability_pipeline.alerts import Finding
from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.errors import UsageError
from availability_pipeline.failures import root_cause

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
