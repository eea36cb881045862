"""Every public method of the Python API has an example in its documentation that says what really comes out."""

from __future__ import annotations

import doctest
import inspect
import io

import pytest

import availability_pipeline
from availability_pipeline import (
    AvailabilityDatabase,
    AvailabilityQueries,
    AvailabilityValidator,
    parquet_files,
)
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at

METHODS = {
    name: method
    for name, method in inspect.getmembers(AvailabilityQueries, inspect.isfunction)
    if not name.startswith("_")
}
EXAMPLES = {
    **METHODS,
    "AvailabilityQueries": AvailabilityQueries,
    "get_last_update_date": AvailabilityDatabase.get_last_update_date,
    "parquet_files": parquet_files,
    "run_all_validations": AvailabilityValidator.run_all_validations,
}
"""`update_date` has its own in test_database, because it needs an archive."""

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_there_are_methods() -> None:
    assert {"get_available_symbols_on_date", "availability_matrix", "reload"} <= METHODS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_comes_out(name: str, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_DATA_DIR", str(demo.settings.data_dir))
    monkeypatch.setenv("AVAILABILITY_FAPI_URL", "http://127.0.0.1:9")  # nobody answers there
    with AvailabilityQueries() as queries, clock_at(NOW):
        names = {each: getattr(availability_pipeline, each) for each in availability_pipeline.__all__}
        text = inspect.getdoc(EXAMPLES[name]) or ""
        test = doctest.DocTestParser().get_doctest(text, {**names, "queries": queries}, name, None, 0)
        said = io.StringIO()
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.write)
    assert test.examples, f"{name} has no example"
    assert said.getvalue() == ""
