"""The registry of checks: which there are, written down by hand, and what is made of them.

The inventory is not derived from the registry: a check that is lost, no longer blocks or blocks too much is an error
that nothing else would show.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import cast

import dagster as dg
import duckdb
import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.defs.checks import make_checks
from availability_pipeline.errors import UsageError
from availability_pipeline.quality import check as registry
from availability_pipeline.quality.check import Check, Scope, Severity, Verdict, all_checks, check
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests.quality.table import scope_of, settings_of

INVENTORY = {
    # name: asset, severity, blocks, asked by the publish guard
    "continuity": ("daily_availability", "ERROR", True, False),
    "row_invariants": ("daily_availability", "ERROR", True, True),
    "no_regression": ("daily_availability", "ERROR", True, True),
    "history_continuity": ("daily_availability", "ERROR", False, False),
    "completeness": ("daily_availability", "ERROR", False, False),
    "gaps": ("daily_availability", "WARN", False, False),
    "rowless_files": ("daily_availability", "WARN", False, False),
    "exchange_info": ("daily_availability", "ERROR", False, False),
    "changed_files": ("daily_availability", "WARN", False, False),
    "volume_consistency": ("daily_volume", "ERROR", True, True),
    "volume_completeness": ("daily_volume", "WARN", False, False),
    "volume_files": ("daily_volume", "WARN", False, False),
    "incomplete_files": ("file_contents", "WARN", False, False),
    "episodes_do_not_overlap": ("symbol_lifecycle", "ERROR", False, False),
    "every_file_has_an_episode": ("symbol_lifecycle", "ERROR", False, False),
    "known_delistings": ("symbol_lifecycle", "WARN", False, False),
    "equals_working": ("published_database", "ERROR", False, False),
}

DAGSTER_ONLY = {"service_levels": ("published_database", False)}


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of its own, which registrations in a test do not outlive."""
    monkeypatch.setattr(registry, "_REGISTRY", {})


def test_the_checks_are_these() -> None:
    found = {
        each.name: (each.asset, each.severity.value, each.blocking, each.guards_publication)
        for each in all_checks()
    }
    assert found == INVENTORY


def test_accepting_fewer_files_waives_one_check() -> None:
    assert [each.name for each in all_checks() if each.waived_by_fewer_files] == ["no_regression"]


ASSET_CHECKS = make_checks(DEFAULT_DATASET)


def test_dagster_has_the_same_checks() -> None:
    specs = [spec for definition in ASSET_CHECKS for spec in definition.check_specs]
    found = {spec.name: (spec.asset_key.to_user_string(), spec.blocking) for spec in specs}
    expected = {name: (asset, blocks) for name, (asset, _, blocks, _) in INVENTORY.items()}
    assert found == expected | DAGSTER_ONLY
    assert len(specs) == len(found)
    for spec in specs:
        assert spec.description, spec.name
        assert spec.description.endswith((".", ";")) or len(spec.description) > 40, spec.name


def test_single_checks_can_be_executed() -> None:
    assert {
        definition.can_subset for definition in ASSET_CHECKS if len(list(definition.check_specs)) > 1
    } == {True}


def test_blocking_checks_come_first() -> None:
    blocking = [each.blocking for each in all_checks()]
    assert blocking == sorted(blocking, reverse=True)


def sound(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:  # noqa: ARG001
    """All is well.

    A second paragraph.
    """
    return Verdict(passed=True, summary="nothing is wrong")


@pytest.mark.usefixtures("empty_registry")
def test_one_function_is_a_check(tmp_path: Path) -> None:
    registered = check(asset="table", blocking=True, severity=Severity.WARN)(sound)
    assert all_checks() == [registered]
    assert (registered.name, registered.description) == ("sound", "All is well.")
    assert registered.guards_publication
    with connect(settings_of(tmp_path).working_path) as connection:
        finding = registered(connection, scope_of(tmp_path))
    assert (finding.name, finding.passed, finding.severity) == ("sound", True, Severity.WARN)


@pytest.mark.usefixtures("empty_registry")
def test_two_checks_of_one_name_are_refused() -> None:
    check(asset="table")(sound)
    with pytest.raises(ValueError, match="two checks called sound"):
        check(asset="other")(sound)


@pytest.mark.parametrize("own", [None, Severity.WARN, Severity.ERROR])
@pytest.mark.usefixtures("empty_registry")
def test_a_verdict_may_have_a_severity_of_its_own(tmp_path: Path, own: Severity | None) -> None:
    def wrong(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:  # noqa: ARG001
        return Verdict(passed=False, summary="something is wrong", severity=own)

    registered = check(asset="table", severity=Severity.WARN)(wrong)
    with connect(settings_of(tmp_path).working_path) as connection:
        assert registered(connection, scope_of(tmp_path)).severity is (own or Severity.WARN)


@pytest.mark.usefixtures("empty_registry")
def test_a_mistake_of_the_user_is_a_finding_and_a_defect_is_raised(tmp_path: Path) -> None:
    def failing(error: Exception) -> Check:
        def broken(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:  # noqa: ARG001
            raise error

        broken.__name__ = type(error).__name__
        return check(asset="table", severity=Severity.WARN)(broken)

    with connect(settings_of(tmp_path).working_path) as connection:
        finding = failing(UsageError("the list is wrong"))(connection, scope_of(tmp_path))
        assert (finding.is_error, finding.summary) == (True, "could not be evaluated: the list is wrong")
        with pytest.raises(ZeroDivisionError):
            failing(ZeroDivisionError())(connection, scope_of(tmp_path))


def test_every_description_is_the_first_line_of_a_docstring() -> None:
    for each in all_checks():
        assert each.description == (inspect.getdoc(each.function) or "").split("\n")[0] != ""


def test_a_selected_check_is_evaluated_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(tmp_path))
    from availability_pipeline.defs.factory import build_defs  # noqa: PLC0415 - reads the environment

    with connect(settings_of(tmp_path).working_path):
        pass
    definitions = build_defs()
    for name in ("gaps", "every_file_has_an_episode", "equals_working"):
        key = dg.AssetCheckKey(dg.AssetKey(INVENTORY[name][0]), name)
        job = definitions.resolve_implicit_global_asset_job_def()
        alone = cast("Callable[..., dg.JobDefinition]", job.get_subset)(
            asset_selection=set(), asset_check_selection={key}
        )
        with dg.DagsterInstance.ephemeral() as instance:
            result = alone.execute_in_process(instance=instance, raise_on_error=False)
        assert [each.asset_check_key for each in result.get_asset_check_evaluations()] == [key]
