"""A team's installation and the archive that it watches, on one clock that a test moves.

The daemon's part is played by hand: a tick of the schedule, a look of a sensor, and the runs that they ask for. Where
a scenario is about Dagster or alerts, each is a real run of the job on a real instance; elsewhere the same functions
are called without it, in half the time. Everything else is what it is in operation.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.factory import build_defs
from availability_pipeline.defs.partitions import window_of
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.write import publish
from availability_pipeline.quality.check import Scope, all_checks
from availability_pipeline.quality.guard import publish_checked
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.dagster_side import Site, site_for
from availability_pipeline_tests.demo_data import clock_at
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.simulator import ScriptedArchive, serve

LISTED = dt.date(2024, 1, 15)
MARKET = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "币安人生USDT", *(f"COIN{number:02}USDT" for number in range(17)))
"""Twenty-one contracts, so that one of them is less than 5 % of the market."""


def moment(text: str) -> dt.datetime:
    """A moment of 2024 in UTC, such as `03-02 08:30`."""
    return dt.datetime.fromisoformat(f"2024-{text}").replace(tzinfo=dt.UTC)


def day(text: str) -> dt.date:
    """A day of 2024, such as `03-02`."""
    return dt.date.fromisoformat(f"2024-{text}")


@dataclass(frozen=True)
class Outcome:
    """What has come of a run."""

    success: bool
    run_id: str
    checks: dict[str, str]
    """What its checks say: ok, WARN or ERROR by name."""
    said: dict[str, str]
    """The sentences of its checks."""

    @classmethod
    def of(cls, result: dg.ExecuteInProcessResult) -> Outcome:
        """That of a run of Dagster's."""
        found = result.get_asset_check_evaluations()
        checks = {each.check_name: "ok" if each.passed else each.severity.value for each in found}
        said = {each.check_name: each.description or "" for each in found}
        return cls(result.success, result.run_id, checks, said)


@dataclass
class World:
    """The archive, the installation, and what has come of it."""

    site: Site
    clock: dict[str, dt.datetime]
    alerts: list[str] = field(default_factory=list)
    """The texts that have reached the webhook."""
    cursors: dict[str, str | None] = field(default_factory=dict)
    run_keys: set[str] = field(default_factory=set)
    in_dagster: bool = False
    """Whether what is asked for is run by Dagster."""

    @property
    def archive(self) -> ScriptedArchive:
        return self.site.archive

    def at(self, text: str) -> World:
        """Set everybody's clock."""
        self.clock["now"] = moment(text)
        self.archive.set_now(moment(text))
        return self

    def tick(self, text: str) -> list[Outcome]:
        """The schedule fires, and what it asks for is run: yesterday, and the window of the last days."""
        return self._run(self._requested(text))

    def window(self, text: str) -> Outcome:
        """The schedule fires, and only the window is run, which contains yesterday: half of the time of a tick."""
        [result] = self._run(self._requested(text)[-1:])
        return result

    def _requested(self, text: str) -> list[dg.RunRequest]:
        self.at(text)
        definitions = build_defs()
        schedule = definitions.resolve_schedule_def("daily_availability_schedule")
        with dg.build_schedule_context(
            instance=self.site.instance,
            scheduled_execution_time=moment(text),
            repository_def=definitions.get_repository_def(),
            resources=self._resources(schedule),
        ) as context:
            return list(schedule.evaluate_tick(context).run_requests or [])

    def look(self, text: str) -> list[Outcome]:
        """The sensor looks for publication, and what it asks for is run."""
        self.at(text)
        data = self._evaluate("publication_watch")
        return self._run(data.run_requests or [])

    def tell(self) -> list[str]:
        """The sensor of alerts looks at the runs that have ended; the new messages."""
        before = len(self.alerts)
        self._evaluate("failure_alerts")
        return self.alerts[before:]

    def tell_of(self, check: str) -> list[str]:
        """The new messages about one check; a day on which nobody ticked gives others about the gap."""
        return [text for text in self.tell() if check in text]

    def _evaluate(self, name: str) -> Any:
        definitions = build_defs()
        sensor = definitions.resolve_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.site.instance,
            cursor=self.cursors.get(name),
            resources=self._resources(sensor),
            repository_def=definitions.get_repository_def(),
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursors[name] = data.cursor
        return data

    @staticmethod
    def _resources(definition: dg.SensorDefinition | dg.ScheduleDefinition) -> dict[str, object]:
        return {key: PipelineSettings() for key in definition.required_resource_keys}

    def _run(self, requests: list[dg.RunRequest]) -> list[Outcome]:
        new = [request for request in requests if request.run_key not in self.run_keys]
        self.run_keys |= {request.run_key for request in new if request.run_key}
        if self.in_dagster:
            return [Outcome.of(self.site.execute(request)) for request in new]
        return [self._collect(days) for request in new if (days := window_of(request.tags))]

    def _collect(self, days: DayRange) -> Outcome:
        """Do what a run does."""
        settings, run_id = self.site.settings, f"run {days} at {self.clock['now']}"
        pipeline.run(settings, days.start, days.end, run_id=run_id)
        scope = Scope(settings, days, run_id=run_id)
        checks = all_checks()
        with connect(settings.working_path) as connection:
            derive(connection, Rules.of(settings))
            found = [each(connection, scope) for each in checks if each.asset != "published_database"]
            blocked = {each.name for each in checks if each.blocking} & {
                each.name for each in found if each.is_error
            }
            if not blocked:
                publish_checked(connection, settings, run_id)
                found += [each(connection, scope) for each in checks if each.asset == "published_database"]
        verdicts = {each.name: "ok" if each.passed else each.severity.value for each in found}
        return Outcome(not blocked, run_id, verdicts, {each.name: each.summary for each in found})

    def ledger(self) -> list[tuple[str, str, dt.date]]:
        """Kind, contract and day of all entries, in order."""
        sql = "SELECT kind, symbol, date FROM availability_changes ORDER BY observed_at, date, symbol"
        return [(kind, symbol, date) for kind, symbol, date in pipeline.query(self.site.settings, sql)]

    def is_true(self, start: str, end: str) -> bool:
        """Whether the table says of these days what the archive has now."""
        window = (str(day(start)), str(day(end)))
        truth = self.site.truth(*window, symbols=self._tracked())
        held = [row for row in pipeline.table(self.site.settings) if day(start) <= row[0] <= day(end)]
        return held == truth

    def _tracked(self) -> list[str]:
        rows = pipeline.query(self.site.settings, "SELECT symbol FROM symbols WHERE tracked ORDER BY symbol")
        return [symbol for (symbol,) in rows]

    def read(self, text: str) -> list[str]:
        """The contracts with a file on a day, as readers have it."""
        with AvailabilityQueries(self.site.settings.db_path) as queries:
            return [row["symbol"] for row in queries.get_available_symbols_on_date(day(text))]

    def published_run(self) -> str:
        """The run that published what readers have."""
        with AvailabilityQueries(self.site.settings.db_path) as queries:
            return queries.publication.run_id


@contextmanager
def _webhook(alerts: list[str]) -> Iterator[str]:
    """A receiver of messages on loopback; its URL."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            alerts.append("{title}\n{message}".format_map(json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()


BEGIN = moment("03-01 10:00")


def market() -> ScriptedArchive:
    """The archive with the whole market, as it is in the beginning."""
    archive = ScriptedArchive.empty(now=BEGIN)
    for name in MARKET:
        archive.add_symbol(name, LISTED)
    return archive


def make_history(folder: Path) -> None:
    """The data directory of a world with its whole history collected and published, for copies."""
    with serve(market()) as server, clock_at(BEGIN, server):
        settings = Settings.load(server.environment(), data_dir=str(folder))
        pipeline.run(settings, DEFAULT_DATASET.first_day, day("02-29"), run_id="history")
        with connect(settings.working_path) as connection:
            publish(connection, settings.db_file, "history")


@contextmanager
def world_of(
    settings_for: SettingsFactory, history: Path, new_instance: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The world on 1 March 2024 at 10:00, with a copy of that history."""
    clock = {"now": BEGIN}
    archive = market()
    alerts: list[str] = []
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: clock["now"])
    with serve(archive) as server, _webhook(alerts) as hook:
        server.date = lambda: clock["now"]
        settings = settings_for(server, alert_urls=hook, inspect="off")
        sample.copy(history, settings.data_dir)
        for variable, value in settings.environment().items():
            monkeypatch.setenv(variable, value)
        with site_for(archive, server, settings, new_instance) as site:
            world = World(site, clock, alerts)
            world.tell()
            yield world
