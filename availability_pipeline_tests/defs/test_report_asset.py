"""The asset `report`: a picture and a link in Dagster's catalogue, and no publication fails because of it."""

from __future__ import annotations

import base64
import re
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest

from availability_pipeline.defs.factory import build_defs
from availability_pipeline_tests.dagster_side import Site


def metadata_of(site: Site, asset: str) -> dict[str, dg.MetadataValue]:
    event = site.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return dict(event.asset_materialization.metadata)


def test_a_run_draws_what_it_published(site: Site) -> None:
    site.run("2024-01-01", "2024-01-20")
    found = metadata_of(site, "report")
    path = Path(str(found["path"].value))
    assert path.parent.name == metadata_of(site, "published_database")["generation"].value
    assert path.stat().st_size == found["bytes"].value
    assert found["page"].value == path.as_uri()
    picture = re.fullmatch(r"!\[.+\]\(data:image/svg\+xml;base64,(.+)\)", str(found["calendar"].value))
    assert picture
    assert len(picture[1]) < 100_000
    assert base64.b64decode(picture[1]).startswith(b"<svg ")


def test_a_report_that_cannot_be_drawn_is_a_warning(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = f"vega-{version('vl-convert-python')}.js"
    (tmp_path / "cache" / "binance-futures" / bundle).mkdir(parents=True)
    run = site.run("2024-01-20")
    assert "Is a directory" in str(metadata_of(site, "report")["problem"].value)
    assert site.settings.db_file.exists()
    logs = site.instance.all_logs(run.run_id)
    assert any("The report could not be made" in entry.user_message for entry in logs)


def test_the_catalogue_says_what_is_known_of_each_asset() -> None:
    specs = {spec.key.path[-1]: spec.metadata for spec in build_defs().resolve_all_asset_specs()}
    for name, metadata in specs.items():
        assert Path(str(metadata["docs"].value)).is_file(), name
    assert specs["daily_availability"]["dagster/uri"].endswith("/data/futures/um/daily/klines/")
    for name in specs.keys() - {"report"}:
        schema = specs[name]["dagster/column_schema"]
        assert all(column.description for column in schema.columns), name
    lineage = specs["published_database"]["dagster/column_lineage"]
    assert lineage.deps_by_column["url"] == [dg.TableColumnDep(dg.AssetKey("daily_availability"), "url")]
