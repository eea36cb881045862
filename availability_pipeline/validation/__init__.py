"""What must be true of the data, as functions over a connection to the working database; usable without Dagster.

Each check is one function that takes the connection and a `Scope` and returns a `Finding`: exact counts, a bounded
sample of offenders, and a sentence that says what was found and how to recover. Nothing is repaired here, and only
the cross-check with exchangeInfo asks the network. `checks/` shows the findings to Dagster, `validator` to everybody
else.
"""

from availability_pipeline.validation.finding import Finding, Scope, Severity

__all__ = ["Finding", "Scope", "Severity"]
