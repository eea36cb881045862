"""From Python as from the command line: how far the database goes, and a day brought up to date by a real run."""

from __future__ import annotations

import datetime as dt
import doctest
import inspect
import threading
from typing import Any

import pytest

from availability_pipeline import AvailabilityDatabase, PublishedDatabaseError, UsageError, update_date
from availability_pipeline.defs.launch import open_instance
from availability_pipeline_tests.dagster_side import Site

DAY = dt.date(2024, 2, 28)


def test_a_day_is_collected_and_published(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(site.settings.data_dir / "dagster"))
    text = inspect.getdoc(AvailabilityDatabase.update_date) or ""
    names: dict[str, Any] = {"AvailabilityDatabase": AvailabilityDatabase}
    example = doctest.DocTestParser().get_doctest(text, names, "update_date", None, 0)
    said: list[str] = []
    # In a thread, as a web service would: signals are the main thread's business.
    thread = threading.Thread(
        target=lambda: doctest.DocTestRunner().run(example, out=said.append, clear_globs=False)
    )
    thread.start()
    thread.join()
    assert "".join(said) == ""
    report = example.globs["report"]
    files = {symbol for symbol in site.archive.symbols() if DAY in site.archive.files(symbol)}
    with open_instance(site.settings.data_dir / "dagster") as instance:
        [run] = instance.get_runs()
    assert report | {"seconds": 0, "requests": 0} == {
        "date": DAY,
        "available_count": len(files),
        "unavailable_count": len(site.archive.symbols()) - len(files),
        "changed_count": 0,
        "requests": 0,
        "seconds": 0,
        "run_id": run.run_id,
    }
    assert capfd.readouterr() == ("", "")
    assert AvailabilityDatabase(site.settings).get_last_update_date() == DAY


@pytest.mark.parametrize("date", ["tomorrow", "2999-01-01", "2019-09-24"])
def test_a_wrong_day_asks_for_nothing(site: Site, date: str) -> None:
    with pytest.raises(UsageError):
        update_date(date)
    assert site.server.requests.count() == 0
    assert not site.settings.working_path.exists()


def test_without_a_database_there_is_no_last_day(site: Site) -> None:
    with pytest.raises(PublishedDatabaseError, match="there is no published database"):
        AvailabilityDatabase(site.settings).get_last_update_date()
