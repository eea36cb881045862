"""Alerts: real runs of a toy code location, real servers on loopback, and what people are told when."""

from __future__ import annotations

import datetime as dt
import email
import json
import logging
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from availability_pipeline.dates import DayRange
from availability_pipeline.defs.alerts import Alert, AlertLog, Queue, failure_alerts, newly_ended
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.launch import open_instance
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.errors import ArchiveRefused
from availability_pipeline_tests.conftest import run_python

DAYS = dg.DailyPartitionsDefinition("2024-01-01", timezone="UTC")
PATH = "/services/T0/B0/SECRET"
NOW = dt.datetime(2024, 3, 2, 9, tzinfo=dt.UTC)
REFUSED = ArchiveRefused(
    "answered HTTP 503", url="http://a/x.zip", symbol="BTCUSDT", date="2024-01-15", status=503
)


class Webhook(HTTPServer):
    """Keeps the messages that it takes; `answer` says how it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"ok", {"Content-Type": "text/html"})
        self.messages: list[str] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append(f"{body['title']}\n{body['message']}")
        self.server.paths.append(self.path)
        status, text, headers = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: TCPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server, serving(server):
        monkeypatch.setenv("AVAILABILITY_ALERT_URLS", server.url)
        yield server


@pytest.fixture
def instance(tmp_path: Path, new_instance: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copytree(new_instance, tmp_path / "dagster")
    with open_instance(tmp_path / "dagster") as opened:
        yield opened


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """The time, which a test may set."""
    times = [NOW]
    monkeypatch.setenv("AVAILABILITY_RETRY_SECONDS", "0")
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: times[-1])
    return times


class Location:
    """A toy code location: one table, one check of it, and a publication below."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.error: Exception | None = None
        self.checks: dict[str, dg.AssetCheckResult] = {}
        self.cursor: str | None = None

    def definitions(self, blocking: bool) -> dg.Definitions:
        @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
        def table(context) -> None:
            with failures_reported(context):
                if self.error:
                    raise self.error

        @dg.multi_asset_check(
            specs=[dg.AssetCheckSpec(name, asset="table", blocking=blocking) for name in ("grid", "rows")]
        )
        def checks() -> Any:
            for name in ("grid", "rows"):
                given = self.checks.get(name, dg.AssetCheckResult(passed=True))
                yield given._replace(check_name=name, asset_key=dg.AssetKey("table"))

        @dg.asset(deps=[table])
        def published() -> None: ...

        return dg.Definitions(
            [table, published],
            asset_checks=[checks],
            jobs=[
                dg.define_asset_job("everything", "*"),
                dg.define_asset_job("only_checks", dg.AssetSelection.checks_for_assets("table")),
            ],
            executor=dg.in_process_executor,
        )

    def run(self, start: str, end: str = "", job: str = "everything", *, blocking: bool = False) -> str:
        tags = {
            "dagster/asset_partition_range_start": start,
            "dagster/asset_partition_range_end": end or start,
        }
        result = (
            self.definitions(blocking)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                tags=tags if start else {},
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )
        return result.run_id

    def look(self) -> str:
        """One evaluation of the sensor, in which nothing but its cursor is remembered."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            reason = failure_alerts(context)
            self.cursor = context.cursor
        return str(reason.skip_message)


@pytest.fixture
def location(instance: dg.DagsterInstance) -> Location:
    return Location(instance)


def failed(text: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=severity, description=text)


def test_a_failed_step_is_told_with_its_days_its_reason_and_what_to_do(
    location: Location, webhook: Webhook
) -> None:
    location.look()
    location.error = REFUSED
    run = location.run("2024-01-15")
    assert location.look() == "new failures: 1, messages sent: 1, waiting: 0"
    assert webhook.paths == [PATH]
    [message] = webhook.messages
    assert message.splitlines() == [
        "The step table failed (2024-01-15).",
        "BTCUSDT 2024-01-15: answered HTTP 503 (http://a/x.zip)",
        "The next scheduled run tries again; to do it now: `binance-futures-availability update 2024-01-15`.",
        f"Run {run}, job everything.",
    ]


def test_a_step_that_fails_without_saying_why_is_told_with_what_happened(
    location: Location, webhook: Webhook
) -> None:
    location.look()
    location.error = ZeroDivisionError("by <nothing>")
    location.run("2024-01-01", "2024-01-31")
    location.look()
    [message] = webhook.messages
    assert "ZeroDivisionError: by <nothing>" in message
    assert "backfill --start 2024-01-01 --end 2024-01-31" in message


def test_a_blocked_publication_is_one_message(location: Location, webhook: Webhook) -> None:
    location.look()
    location.checks = {"grid": failed("3 days are missing; collect them."), "rows": failed("1 row is wrong.")}
    location.run("2024-01-01", "2024-01-03", blocking=True)
    assert location.look().startswith("new failures: 1,")
    [message] = webhook.messages
    assert message.startswith("The checks table:grid and table:rows failed (2024-01-01 to 2024-01-03).")
    assert "3 days are missing; collect them.\n1 row is wrong." in message
    assert "readers keep the last good generation" in message


def test_a_check_that_fails_in_a_run_that_succeeds_is_told(location: Location, webhook: Webhook) -> None:
    location.look()
    location.checks["rows"] = failed("1 row is wrong.")
    location.run("2024-01-15")
    location.look()
    [message] = webhook.messages
    assert message.startswith("The check table:rows failed (2024-01-15).\n1 row is wrong.\nRun ")
    assert "generation" not in message


def test_so_is_one_in_a_run_of_checks_only(location: Location, webhook: Webhook) -> None:
    location.run("2024-01-15")
    location.look()
    location.checks["rows"] = failed("1 row is wrong.")
    location.run("", job="only_checks")
    location.look()
    assert [message.splitlines()[0] for message in webhook.messages] == ["The check table:rows failed."]


def test_warnings_and_successes_are_not_told(location: Location, webhook: Webhook) -> None:
    location.look()
    location.checks["rows"] = failed("late", dg.AssetCheckSeverity.WARN)
    location.run("2024-01-15")
    assert location.look() == "new failures: 0, messages sent: 0, waiting: 0"
    assert webhook.messages == []


def test_the_past_is_not_told_of(location: Location, webhook: Webhook) -> None:
    location.error = REFUSED
    location.run("2024-01-15")
    location.look()
    location.look()
    assert webhook.messages == []


def test_repeated_failures_are_folded_into_one_message_a_day(
    location: Location, webhook: Webhook, clock: list[dt.datetime]
) -> None:
    location.look()
    location.error = REFUSED
    for _ in range(3):
        location.run("2024-01-15")
        location.look()
    location.error = None
    location.checks["rows"] = failed("Another subject.")
    location.run("2024-01-15")
    location.look()
    assert [message.split(" (")[0] for message in webhook.messages] == [
        "The step table failed",
        "The check table:rows failed",
    ]
    clock.append(NOW + dt.timedelta(days=1))
    location.error = REFUSED
    location.run("2024-01-15")
    location.look()
    assert len(webhook.messages) == 3
    assert webhook.messages[2].endswith(
        "Failures of table since the message of 2024-03-02 that were only counted: 2."
    )
    clock.append(NOW + dt.timedelta(days=2))
    location.run("2024-01-15")
    location.look()
    assert "counted" not in webhook.messages[3]


def test_a_run_that_ended_without_a_failed_step_is_told(location: Location, webhook: Webhook) -> None:
    location.look()
    run = location.instance.create_run_for_job(dg.GraphDefinition(name="lost").to_job())
    location.instance.report_run_failed(run, "The process of this run is gone.")
    location.look()
    [message] = webhook.messages
    assert message.startswith("The run of lost failed.\nThe process of this run is gone.")


def test_a_run_that_dagster_retries_is_left_to_its_retry(location: Location, webhook: Webhook) -> None:
    location.look()
    job = dg.GraphDefinition(name="lost").to_job()
    run = location.instance.create_run_for_job(job, tags={"dagster/will_retry": "true"})
    location.instance.report_run_failed(run, "The worker crashed.")
    location.look()
    assert webhook.messages == []


def test_many_runs_are_all_looked_at_once(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("availability_pipeline.defs.alerts._AT_ONCE", 3)
    cursors: dict[str, str] = {}
    assert list(newly_ended(location.instance, cursors, None)) == []
    job = dg.GraphDefinition(name="lost").to_job()
    runs = [location.instance.create_run_for_job(job) for _ in range(7)]
    for run in runs:
        location.instance.report_run_failed(run)
        location.instance.add_run_tags(run.run_id, {"note": "a later change of the record"})
    looks = [[run.run_id for run in newly_ended(location.instance, cursors, None)] for _ in range(4)]
    assert [len(look) for look in looks] == [3, 3, 1, 0]
    assert [run_id for look in looks for run_id in look] == [run.run_id for run in runs]


def of_location(name: str) -> RemoteJobOrigin:
    """Where a run comes from that the daemon launched."""
    origin = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="x"), location_name=name)
    return RemoteJobOrigin(RemoteRepositoryOrigin(origin, "__repository__"), "lost")


def test_runs_of_other_code_locations_are_left_to_them(location: Location) -> None:
    cursors: dict[str, str] = {}
    assert list(newly_ended(location.instance, cursors, "ours")) == []
    job = dg.GraphDefinition(name="lost").to_job()
    runs = [
        location.instance.create_run_for_job(job, remote_job_origin=origin)
        for origin in (of_location("ours"), of_location("theirs"), None)
    ]
    for run in runs:
        location.instance.report_run_failed(run)
    found = [run.run_id for run in newly_ended(location.instance, cursors, "ours")]
    assert found == [runs[0].run_id, runs[2].run_id]


def test_without_a_channel_the_log_has_it(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    location.look()
    location.error = REFUSED
    location.run("2024-01-15")
    with caplog.at_level(logging.WARNING, "availability_pipeline"):
        assert location.look() == "new failures: 1, messages sent: 0, waiting: 0"
    assert "The step table failed (2024-01-15)." in caplog.text


def test_the_log_is_json_where_that_is_the_format(
    location: Location, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVAILABILITY_LOG_FORMAT", "json")
    location.look()
    location.error = REFUSED
    location.run("2024-01-15")
    capsys.readouterr()
    location.look()
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"].startswith("The step table failed (2024-01-15).")


def finding(subject: str = "table") -> Alert:
    days = DayRange(dt.date(2024, 3, 1), dt.date(2024, 3, 1))
    return Alert(subject=subject, what=f"The step {subject} failed", why="x", days=days, run_id="r", job="j")


@contextmanager
def closed_port() -> Iterator[str]:
    """The host and port of an address at which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


BROKEN: Sequence[tuple[int, bytes, dict[str, str]]] = [
    (500, b"SECRET", {}),
    (302, b"", {"Location": "/elsewhere"}),
    (404, b"no_service", {}),
]


@pytest.mark.parametrize("answer", BROKEN, ids=["500", "redirect", "404"])
def test_a_channel_that_does_not_take_it_is_a_warning_and_tried_again(
    webhook: Webhook, answer: tuple[int, bytes, dict[str, str]], clock: list[dt.datetime],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    memory = AlertLog()
    good, webhook.answer = webhook.answer, answer
    assert memory.deliver(["text"], [webhook.url]) == 0
    expected = f"the alert channel 1 did not take a message (JSON: it answered HTTP {answer[0]}); waiting"
    assert expected in caplog.text
    assert "SECRET" not in caplog.text
    webhook.answer = good
    assert memory.deliver([], [webhook.url]) == 0, "it is not tried again at once"
    clock.append(NOW + dt.timedelta(minutes=1))
    memory = AlertLog.read(memory.write())
    assert memory.deliver([], [webhook.url]) == 1
    assert memory.queues == [Queue()]
    assert webhook.paths == [PATH, PATH], "a redirect is not followed"


def test_a_channel_that_cannot_be_used_is_a_warning_and_holds_up_no_other(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    memory = AlertLog()
    with closed_port() as closed:
        urls = [f"json://{closed}{PATH}", f"tgram://SECRET{PATH}", webhook.url]
        assert memory.deliver(["text"], urls) == 1
    assert [len(queue.messages) for queue in memory.queues] == [1, 1, 0]
    assert "channel 1 did not take a message (JSON: it cannot be reached)" in caplog.text
    assert "channel 2 did not take a message (apprise does not understand its URL)" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_url_that_is_corrected_gets_what_waits_for_it(webhook: Webhook, clock: list[dt.datetime]) -> None:
    memory = AlertLog()
    memory.deliver(["one"], ["nonsense://x"])
    clock.append(NOW + dt.timedelta(minutes=1))
    assert memory.deliver(["two"], [webhook.url]) == 2
    assert webhook.messages == ["\none", "\ntwo"]


def test_a_channel_that_says_nothing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"json://127.0.0.1:{silent.getsockname()[1]}{PATH}?rto=0.2"
        assert AlertLog().deliver(["text"], [url]) == 0
    assert "(JSON: no answer in time)" in caplog.text


def test_the_waits_between_tries_grow_and_are_bounded(clock: list[dt.datetime]) -> None:
    memory, waits = AlertLog(), []
    for number in range(12):
        memory.deliver(["text"] if number == 0 else [], ["nonsense://x"])
        clock.append(dt.datetime.fromisoformat(memory.queues[0].retry_at).replace(tzinfo=dt.UTC))
        waits.append((clock[-1] - clock[-2]).total_seconds())
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] == 3600


class Mail(TCPServer):
    """Takes mail and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.mail: list[str] = []


class _MailHandler(StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.server.mail.append(
                    "".join(part.decode() for part in iter(self.rfile.readline, b".\r\n"))
                )
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 OK\r\n")
            if command == b"QUIT":
                return


def test_mail_has_what_failed_as_its_subject(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    with Mail() as server, serving(server):
        url = f"mailto://127.0.0.1:{server.server_address[1]}?from=pipeline@example.org&to=desk@example.org&mode=insecure"
        monkeypatch.setenv("AVAILABILITY_ALERT_URLS", url)
        location.look()
        location.error = REFUSED
        run = location.run("2024-01-15")
        assert location.look() == "new failures: 1, messages sent: 1, waiting: 0"
    mail = email.message_from_string(server.mail[0])
    assert mail["To"] == "desk@example.org"
    assert mail["Subject"] == "The step table failed (2024-01-15)."
    text = "".join(part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart())
    assert "answered HTTP 503" in text
    assert run in text


def test_what_is_remembered_is_bounded_and_survives_as_json() -> None:
    memory = AlertLog()
    texts = [text for number in range(300) if (text := memory.note(finding(f"step {number}")))]
    memory.deliver(texts, ["nonsense://x"])
    assert len(memory.subjects) == 200
    assert memory.waiting == 50
    assert "step 299" in memory.queues[0].messages[-1]
    assert AlertLog.read(memory.write()) == memory


def test_a_cursor_of_another_form_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    for text in ("{", "[1]", '{"colour": "red"}', '{"queues": [1]}'):
        assert AlertLog.read(text) == AlertLog()
    assert caplog.text.count("start anew") == 4
    assert AlertLog.read(None) == AlertLog()


def test_a_long_reason_is_cut() -> None:
    long = Alert(subject="s", what="It failed", why="x" * 100_000, days=None, run_id="r", job="j")
    assert len(long.text()) < 2_000


def test_the_sensor_is_on_by_default_and_looks_every_half_minute() -> None:
    assert failure_alerts.default_status is dg.DefaultSensorStatus.RUNNING
    assert failure_alerts.minimum_interval_seconds == 30


@pytest.mark.parametrize(
    "environ",
    [{"AVAILABILITY_CONNECTIONS": "many"}, {"AVAILABILITY_ALERT_URLS": "hooks.example.com/x"}],
    ids=["another setting", "the URLs"],
)
def test_settings_that_are_wrong_do_not_silence_alerts(
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environ: dict[str, str],
) -> None:
    location = Location(instance)
    location.look()
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    location.error = REFUSED
    location.run("2024-01-15")
    location.look()
    assert "BTCUSDT 2024-01-15" in caplog.text
    assert "hooks.example.com/x" not in caplog.text


def test_a_run_does_not_mind_a_wrong_url_of_alerts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AVAILABILITY_ALERT_URLS", "hooks.example.com/x")
    assert PipelineSettings().load().alert_urls == ()


def test_importing_the_alerts_does_not_load_apprise() -> None:
    """It takes longer than a whole query; see docs/decisions/0020-alerts.md."""
    said = run_python("import sys, availability_pipeline.defs.factory; print('apprise' in sys.modules)")
    assert said.strip() == "False"


def test_a_failure_sensor_of_dagster_forgets_a_run_that_it_could_not_tell_of(
    instance: dg.DagsterInstance,
) -> None:
    """Why `failure_alerts` is none; see docs/decisions/0020-alerts.md."""
    told: list[str] = []

    @dg.run_failure_sensor(monitor_all_code_locations=True)
    def sensor(context: dg.RunFailureSensorContext) -> None:
        told.append(context.dagster_run.run_id)
        raise ConnectionError("the channel is down")

    cursor = None
    for look in range(3):
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            sensor.evaluate_tick(context)
            cursor = context.cursor
        if look == 0:
            run = instance.create_run_for_job(dg.GraphDefinition(name="lost").to_job())
            instance.report_run_failed(run)
    assert told == [run.run_id]
