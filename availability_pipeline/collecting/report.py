"""Making the report of the generation that is read: `report.html` beside its files, and in object storage.

The report is made of what is published and is no part of the manifest: it can be made again at any time, and one that
cannot be made is no reason for a publication to fail.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from availability_pipeline.errors import AvailabilityError, cause_of
from availability_pipeline.publishing.manifest import DATABASE, NAME, Place
from availability_pipeline.publishing.release import Generation, generation_read
from availability_pipeline.publishing.remote.replicate import put_report
from availability_pipeline.queries.report.data import Overview, ReportQueries
from availability_pipeline.queries.report.page import page
from availability_pipeline.queries.report.picture import picture
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.atomic import draft_of

FILE = "report.html"


@dataclass(frozen=True)
class ReportMade:
    """A report that was written."""

    path: Path
    size: int
    """Bytes."""
    seconds: float
    overview: Overview
    calendar: str
    """Its calendar as an SVG."""
    uploaded_to: str | None
    """The URL of the report in object storage, if it is there."""


def make_report(settings: Settings) -> ReportMade:
    """Write the report of the generation that is read into its folder, and upload it where generations are.

    Raises:
        PublishedDatabaseError: There is no published database, or it cannot be read.
        UploadError: It could not be uploaded; it is on this machine.
        AvailabilityError: It cannot be written.
    """
    began = time.perf_counter()
    overview = _overview(settings)
    generation = generation_read(Place.of(settings.db_file))
    if generation is None:
        raise AvailabilityError(f"there is no generation beside {settings.db_file}; run `publish`")
    text = render(overview, settings, _links(generation), generation.manifest.generation).encode()
    path = generation.folder / FILE
    write(path, text)
    return ReportMade(
        path=path,
        size=len(text),
        seconds=time.perf_counter() - began,
        overview=overview,
        calendar=picture(overview.calendar),
        uploaded_to=put_report(settings, generation, FILE, text),
    )


def text_of_report(settings: Settings) -> str:
    """The page without links to what is beside a generation; for readers of a URL as well.

    Raises:
        PublishedDatabaseError: There is no published database, or it cannot be read.
    """
    return render(_overview(settings), settings, {})


def _overview(settings: Settings) -> Overview:
    with ReportQueries(settings=settings) as queries:
        return queries.read_overview()


def _links(generation: Generation) -> dict[str, str]:
    names = [entry.path for entry in generation.manifest.files if "/" not in entry.path]
    return {name: name for name in (DATABASE, NAME, *(name for name in names if name != DATABASE))}


def render(overview: Overview, settings: Settings, links: dict[str, str], generation: str = "") -> str:
    """The page; see `queries.report.page`."""
    return page(overview, _bundle(settings), links, generation)


def _bundle(settings: Settings) -> str:
    """The JavaScript that draws the charts, which takes seconds to make and is kept for the user."""
    kept = _cache(settings) / f"vega-{version('vl-convert-python')}.js"
    if kept.exists():
        return kept.read_text("utf-8")
    import vl_convert  # noqa: PLC0415 - a large library

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stubs require a snippet
    if kept.parent.is_dir():
        write(kept, bundle.encode())
    return bundle


def _cache(settings: Settings) -> Path:
    """The user's cache, or the data directory for one without a home that can be written to."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "binance-futures")
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):
        return settings.data_dir
    return folder if os.access(folder, os.W_OK) else settings.data_dir


def write(path: Path, content: bytes) -> None:
    """Write a file atomically; raises AvailabilityError."""
    try:
        with draft_of(path) as draft:
            draft.write_bytes(content)
            draft.replace(path)
    except OSError as error:
        cause = cause_of(error)
        raise AvailabilityError(f"{path} could not be written ({cause.reason}); {cause.remedy}") from error
