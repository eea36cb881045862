"""The asset-check pages of the Dagster UI in a real browser: each check with its state, its sentence and its plots."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from availability_pipeline.archive.batch import Progress
from availability_pipeline.dates import DayRange
from availability_pipeline.defs import launch
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.daemon_side import dagster_dev, make_checkout
from availability_pipeline_tests.simulator import ScriptedArchive, serve

pytestmark = pytest.mark.no_cover
"""What runs here is covered by tests of its parts, and tracing it would take a fifth more time."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--window-size=1400,3000", "--virtual-time-budget=30000", "--dump-dom",
)  # fmt: skip

JANUARY = DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 20))

CHECKS = {
    "changed_files": "Failed", "completeness": "Failed", "continuity": "Succeeded", "exchange_info": "Failed",
    "history_continuity": "Failed", "gaps": "Failed", "no_regression": "Succeeded", "row_invariants": "Succeeded",
}  # fmt: skip
"""The states after a file was withdrawn and the exchange did not answer; the UI calls warnings failed as well."""


def text_of(url: str, profile: Path, *, until: str) -> str:
    """What a person reads on a page, once a text is there."""
    deadline = time.monotonic() + 240
    while True:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", url]
        page = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240).stdout
        text = re.sub(r"\s+", " ", re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
        if until in text or time.monotonic() > deadline:
            return text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, a Debian package")
def test_the_page_of_checks_shows_states_and_plots(tmp_path: Path, settings_for: SettingsFactory,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    checkout = make_checkout(tmp_path / "checkout")
    archive = ScriptedArchive.recorded(symbols=5, now=dt.datetime(2024, 1, 30, tzinfo=dt.UTC))
    with serve(archive) as server:
        settings = settings_for(server, fapi_url="http://127.0.0.1:9")
        for variable, value in settings.environment().items():
            monkeypatch.setenv(variable, value)
        pipeline.run_and_publish(settings, JANUARY.start, JANUARY.end)
        archive.remove_file("BTCUSDT", dt.date(2024, 1, 10))
        with launch.open_instance(checkout) as instance:
            launch.run_update(instance, settings, JANUARY, (), Progress())
        with dagster_dev(checkout, settings) as graphql:
            base = f"http://{urlsplit(graphql).netloc}/assets/daily_availability?view=checks&checkDetail=completeness"
            text = text_of(base, tmp_path / "profile", until="missing_days")
    for name, state in CHECKS.items():
        assert f"{name} {state}" in text
    assert "1 file missing on 1 day (BTCUSDT 2024-01-10)" in text
    assert "This is a non-blocking asset check" in text
    assert "Plots" in text
    for number in ("coverage", "expected", "missing_days"):
        assert number in text.partition("Plots")[2]
