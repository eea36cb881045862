"""Every public method of the Python API has an example in its documentation that says what really comes out."""

from __future__ import annotations

import doctest
import inspect
import io

import pytest

import availability_pipeline
from availability_pipeline import AvailabilityQueries
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at

METHODS = [
    name
    for name, _ in inspect.getmembers(AvailabilityQueries, inspect.isfunction)
    if not name.startswith("_")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_there_are_methods() -> None:
    assert {"get_available_symbols_on_date", "availability_matrix", "reload"} <= set(METHODS)


@pytest.mark.parametrize("name", [*METHODS, "AvailabilityQueries"])
def test_an_example_says_what_comes_out(name: str, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVAILABILITY_DB_PATH", str(demo.path))
    documented = getattr(AvailabilityQueries, name, AvailabilityQueries)
    with AvailabilityQueries() as queries, clock_at(NOW):
        names = {
            **vars(availability_pipeline),
            "AvailabilityQueries": AvailabilityQueries,
            "queries": queries,
        }
        test = doctest.DocTestParser().get_doctest(inspect.getdoc(documented) or "", names, name, None, 0)
        said = io.StringIO()
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.write)
    assert test.examples, f"{name} has no example"
    assert said.getvalue() == ""
