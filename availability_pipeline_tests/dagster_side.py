"""What tests of the Dagster side share: a simulated archive, an instance on disk, and the job run on them.

Everything is real: HTTP over loopback, DuckDB files, a Dagster instance with SQLite storage.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from availability_pipeline.archive.batch import Progress
from availability_pipeline.dates import DayRange
from availability_pipeline.defs import launch
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.settings import Settings
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive

NOW = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
"""The simulated archive's clock."""


@dataclass(frozen=True)
class Site:
    """A simulated archive, and a data directory with a Dagster instance."""

    archive: ScriptedArchive
    server: ObservedServer
    settings: Settings
    instance: dg.DagsterInstance

    def run(self, start: str, end: str | None = None, symbols: Sequence[str] = ()) -> launch.Report:
        """Run the job over days, as the command line does."""
        days = DayRange(dt.date.fromisoformat(start), dt.date.fromisoformat(end or start))
        return launch.run_update(self.instance, self.settings, days, symbols, Progress())

    def collected(self, start: str, end: str | None = None) -> None:
        """Collect and publish days without Dagster, which takes a third of the time of a run."""
        pipeline.run_and_publish(
            self.settings, dt.date.fromisoformat(start), dt.date.fromisoformat(end or start)
        )

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a schedule or sensor requested, as the daemon does it, in this process."""
        job = build_defs().resolve_job_def("availability_update")
        return job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            asset_selection=request.asset_selection,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def truth(self, start: str, end: str, symbols: Sequence[str] | None = None) -> list[pipeline.Row]:
        """The rows that the table should have for those days."""
        days = DayRange(dt.date.fromisoformat(start), dt.date.fromisoformat(end))
        chosen = self.archive.symbols() if symbols is None else symbols
        return pipeline.truth(self.archive, self.server.url, chosen, days)


@contextmanager
def site_for(
    archive: ScriptedArchive, server: ObservedServer, settings: Settings, new_instance: Path
) -> Iterator[Site]:
    """The site, with its instance, a copy of a new one, open."""
    shutil.copytree(new_instance, settings.data_dir / "dagster")
    with launch.open_instance(settings.data_dir / "dagster") as instance:
        yield Site(archive, server, settings, instance)


def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent
