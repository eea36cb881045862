"""What must not be on disk after a run that failed and sent an alert, and who may read and write what is there."""

from __future__ import annotations

import stat
from threading import Thread

import dagster as dg
import pytest

from availability_pipeline.defs.alerts import failure_alerts
from availability_pipeline_tests.conftest import run_python
from availability_pipeline_tests.dagster_side import Site
from availability_pipeline_tests.defs.test_alerts import PATH, Webhook
from availability_pipeline_tests.simulator import Fault

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

BACKFILL = """
    import sys
    from availability_pipeline.cli.main import main

    sys.argv[1:] = ["backfill", "--start", "2024-01-01", "--end", "2024-01-02"]
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code)
"""


def test_no_secret_is_on_disk_and_nothing_is_writable_for_everybody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run("2024-01-01")
    site.server.faults.inject(Fault.status(403), on="LIST")
    with Webhook() as webhook:
        webhook.answer = (500, b"later", {"Content-Type": "text/plain"})
        monkeypatch.setenv("AVAILABILITY_ALERT_URLS", webhook.url)
        Thread(target=webhook.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        with dg.build_sensor_context(instance=site.instance) as context:
            failure_alerts(context)
            cursor = context.cursor
        assert "ended with 1" in run_python(BACKFILL, DAGSTER_HOME=str(site.settings.data_dir / "dagster"))
        with dg.build_sensor_context(instance=site.instance, cursor=cursor) as context:
            failure_alerts(context)
            assert context.cursor is not None
            assert PATH not in context.cursor
        assert webhook.paths == [PATH]
        webhook.shutdown()
    found = [path for path in site.settings.data_dir.rglob("*") if path.is_file()]
    assert {"availability.duckdb", "runs.db", "index.db"} <= {path.name for path in found}
    assert [path for path in found if PATH.rpartition("/")[2].encode() in path.read_bytes()] == []
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in site.settings.data_dir.rglob("*")}
    assert [path for path, mode in modes.items() if mode & stat.S_IWOTH] == []
    assert modes[site.settings.working_path.parent] == 0o700
