"""Remakes the picture of the report in README.md, from the report of a data directory's current generation.

AVAILABILITY_DATA_DIR=~/.cache/binance-futures/demo python -m availability_pipeline_tests.documents.report_picture
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from availability_pipeline.collecting.report import make_report
from availability_pipeline.settings import Settings
from availability_pipeline_tests.browser import open_page

PICTURE = Path(__file__).parents[2] / "docs" / "guides" / "report.png"

WIDTH, HEIGHT, SCALE = 1000, 1900, 0.75
"""Pixels of the window, and the share of them in the picture."""


def main() -> None:
    """Make the report and take its picture."""
    report = make_report(Settings.load()).path
    with (
        tempfile.TemporaryDirectory() as profile,
        open_page(report.as_uri(), Path(profile), width=WIDTH) as page,
    ):
        page.wait_for("document.documentElement?.dataset.drawn")
        part = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": SCALE}
        taken = page.call("Page.captureScreenshot", format="png", clip=part, captureBeyondViewport=True)
    PICTURE.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()
