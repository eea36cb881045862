"""Batches of events, for the tests of their storage and for the processes that these start."""

import dagster as dg
from dagster._core.events import StepMaterializationData

SIZE = 50
"""Events of a batch in the tests with other processes."""

Batch = list[dg.EventLogEntry]


def batch_of(run_id: str, number: int) -> Batch:
    """Materializations of as many partitions as a batch has."""
    partitions = [f"{run_id}-{number}-{each}" for each in range(SIZE)]
    events = [
        dg.DagsterEvent(
            event_type_value="ASSET_MATERIALIZATION",
            job_name="job",
            event_specific_data=StepMaterializationData(dg.AssetMaterialization("days", partition=partition)),
        )
        for partition in partitions
    ]
    return [
        dg.EventLogEntry(
            error_info=None, level=10, user_message="", run_id=run_id, timestamp=1.7e9, dagster_event=event
        )
        for event in events
    ]
