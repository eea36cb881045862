"""The questions about contracts: the command line says what the API says, in every format, and names wrong input."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from availability_pipeline import AvailabilityQueries
from availability_pipeline.cli.main import cli
from availability_pipeline_tests.demo_data import NOW, Demo, clock_at

RULES: dict[str, Any] = {"min_age_days": 30, "min_days_in_window": (25, 30), "contract_types": ["PERPETUAL"]}
RULE_OPTIONS = "--min-age-days 30 --min-days-in-window 25/30 --contract-types perpetual"

Answers = Callable[[AvailabilityQueries], Any]
QUESTIONS: dict[str, Answers] = {
    "snapshot 2024-01-15": lambda q: q.get_available_symbols_on_date("2024-01-15").arrow(),
    "snapshot 2026-11-10 --as-of 2026-11-20T13:00": lambda q: q.get_available_symbols_on_date(
        "2026-11-10", as_of="2026-11-20T13:00"
    ).arrow(),
    "timeline btc-usdt": lambda q: q.get_symbol_availability_timeline("BTCUSDT").arrow(),
    "timeline 币安人生usdt": lambda q: q.get_symbol_availability_timeline("币安人生USDT").arrow(),
    "range 2025-10-18 2025-10-22": lambda q: q.get_availability_range("2025-10-18", "2025-10-22").arrow(),
    "universe 2022-11-25": lambda q: q.get_universe("2022-11-25").arrow(),
    f"universe 2022-11-25 --explain --include-flat {RULE_OPTIONS}": lambda q: q.get_universe(
        "2022-11-25", include_flat=True, explain=True, **RULES
    ).arrow(),
    f"universe-history 2022-04-01 2022-12-31 --step 30 {RULE_OPTIONS}": lambda q: q.universe_history(
        "2022-04-01", "2022-12-31", 30, **RULES
    ).arrow(),
    "contract fttusdt": lambda q: q.get_contract("FTTUSDT").arrow(),
    "contract simpendingusdt --as-of 2026-11-20T13:00": lambda q: q.get_contract(
        "SIMPENDINGUSDT", as_of="2026-11-20T13:00"
    ).arrow(),
    "contract LUNAUSDT": lambda q: q.get_contract("LUNAUSDT").arrow(),
    "lifecycle": lambda q: q.get_lifecycle().arrow(),
    "lifecycle litusdt": lambda q: q.get_lifecycle("LITUSDT").arrow(),
    "gaps": lambda q: q.get_gaps().arrow(),
    "changes": lambda q: q.get_changes().arrow(),
    "analytics new-listings 2023-05-05": lambda q: q.detect_new_listings("2023-05-05").arrow(),
    "analytics delistings 2022-05-13": lambda q: q.detect_delistings("2022-05-13").arrow(),
    "analytics summary": lambda q: q.get_availability_summary().arrow(),
    "sql 'SELECT symbol, first_day FROM symbol_lifecycle'": lambda q: q.sql(
        "SELECT symbol, first_day FROM symbol_lifecycle"
    ).arrow(),
}
Ask = Callable[..., Result]


@pytest.fixture
def ask(demo: Demo) -> Iterator[Ask]:
    def invoke(line: str, *more: str) -> Result:
        runner = CliRunner(env={"AVAILABILITY_DATA_DIR": str(demo.settings.data_dir)})
        words = ["query", *shlex.split(line), *more]
        return runner.invoke(cli, words, catch_exceptions=False)

    with clock_at(NOW):
        yield invoke


@pytest.mark.parametrize("line", QUESTIONS)
def test_every_format_has_what_the_api_says(ask: Ask, demo: Demo, tmp_path: Path, line: str) -> None:
    with AvailabilityQueries(demo.path) as queries:
        expected: pa.Table = QUESTIONS[line](queries)
    rows = [{name: _plain(value) for name, value in row.items()} for row in expected.to_pylist()]
    as_json = ask(line)
    assert (as_json.exit_code, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout) == rows
    as_csv = list(csv.reader(io.StringIO(ask(line, "--format", "csv").stdout)))
    assert as_csv[0] == expected.column_names
    assert [[*row] for row in as_csv[1:]] == [[_text(value) for value in row.values()] for row in rows]
    assert ask(line, "--output", str(tmp_path / "a.parquet")).exit_code == 0
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == expected.to_pylist()
    table = ask(line, "--format", "table")
    assert table.exit_code == 0
    assert table.stdout


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


WRONG = {
    "universe 2030-01-01": "there is no data of 2030-01-01; the published database has 2019-09-25 to 2026-11-19",
    "universe soon": "DATE is 'soon', which is not a day; write it as 2024-01-15",
    "universe 2024-01-15 --min-days-in-window a/30": "--min-days-in-window is 'a/30'; write it as 25/30",
    "universe 2024-01-15 --min-days-in-window 31/30": "min_days_in_window is (31, 30), but it must be a number",
    "universe 2024-01-15 --contract-types SPOT": "contract_types has 'SPOT', which no contract is; there are PERPETUAL",
    "universe-history 2024-01-15 2024-01-01": "the start 2024-01-15 is after the end 2024-01-01; swap them",
    "universe-history 2024-01-15 2024-01-16 --step 0": "Invalid value for '--step': 0 is not in the range x>=1.",
    "universe 2024-01-15 --exclude-ending -1": "Invalid value for '--exclude-ending': -1 is not in the range x>=0.",
    "universe 2024-01-15 --exclude-ending 36501": "exclude_ending is 36501, but it must be a whole number from 0 to",
    "contract lunausd": "no contract is called 'lunausd'; similar names: LUNAUSDT",
    "contract BTCUSDT --as-of noon": "--as-of is 'noon', which is not a moment; write it as 2024-01-15T08:00",
    "lifecycle lunausd": "no contract is called 'lunausd'; similar names: LUNAUSDT",
    "gaps nosuch": "no contract is called 'nosuch'",
    "analytics delistings 2019-01-01": "there is no data of 2019-01-01",
    "analytics new-listings tomorrow": "DATE is 'tomorrow', which is not a day",
    "snapshot 2024-01-15 --as-of 2024-01-16": "what was known of 2024-01-15 at 2024-01-16 00:00:00 UTC cannot be told",
    "snapshot 2024-01-15 --as-of noon": "--as-of is 'noon', which is not a moment; write it as 2024-01-15T08:00",
    "sql 'SELECT 1; VACUUM'": "a query only reads and makes temporary tables, and VACUUM does neither",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_input_is_one_sentence_and_no_file(ask: Ask, tmp_path: Path, line: str) -> None:
    result = ask(line, "--output", str(tmp_path / "a.csv"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert WRONG[line] in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
