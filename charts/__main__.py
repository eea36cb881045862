"""Compile the charts of a report into the package, after a change of `definitions` or of Altair: `make charts`."""

from __future__ import annotations

import json
from pathlib import Path

from availability_pipeline.queries import report
from charts.definitions import compiled

TARGET = Path(report.__file__).with_name("charts.json")


def main() -> None:
    """Write charts.json."""
    TARGET.write_text(json.dumps(compiled(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
