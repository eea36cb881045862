"""When generations go to object storage: after a publication on this machine, and before a rollback on it.

Where `AVAILABILITY_PUBLISH_URL` is not set, nothing does, and nothing that could is loaded. Simulated data never does:
readers of the URL could not tell it from real data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from availability_pipeline.causes import cause_of
from availability_pipeline.errors import UploadError, UsageError
from availability_pipeline.object_storage.source import RequestFailed
from availability_pipeline.progress import Progress
from availability_pipeline.publishing.generations import Generation, generation_read
from availability_pipeline.publishing.place import Place, locked
from availability_pipeline.settings import Settings

_SILENT = Progress()


@dataclass(frozen=True)
class UploadReport:
    """What was uploaded."""

    url: str
    """Where to."""
    files: int
    """How many files; none if the generation was there already."""
    bytes: int
    seconds: float
    removed: int
    """How many generations were removed there."""

    def metadata(self) -> dict[str, str | int | float]:
        """The same as the metadata of a materialization."""
        return {
            "uploaded_to": self.url,
            "uploaded_files": self.files,
            "uploaded_bytes": self.bytes,
            "upload_seconds": round(self.seconds, 3),
            "removed_generations": self.removed,
        }

    def __str__(self) -> str:
        return (
            f"Uploaded {self.files} files, {self.bytes / 1e6:,.1f} MB, to {self.url} in {self.seconds:.1f} s"
        )


def mirror(settings: Settings, progress: Progress = _SILENT) -> UploadReport | None:
    """Let readers of object storage have the generation that is read on this machine.

    None if that is not asked for, or the data is simulated.

    Doing it again does no harm, and nothing but what is missing.

    Args:
        settings: What is read, and where it goes.
        progress: Who is told that it is uploaded.

    Raises:
        UploadError: They have what they had before.
        PublicationError: Likewise; another publisher on this machine does not come to an end.
    """
    url = _url(settings)
    if url is None:
        return None
    from availability_pipeline.object_storage.pruning import prune  # noqa: PLC0415 - boto3 is slow to load
    from availability_pipeline.object_storage.s3 import Bucket  # noqa: PLC0415
    from availability_pipeline.object_storage.upload import newest, upload  # noqa: PLC0415

    progress.stage(f"uploading to {url}")
    began = time.perf_counter()
    place = Place.of(settings.db_file)
    generation = _read_here(place, url)
    with _told(url, generation):
        bucket = Bucket(url, settings.timeout_seconds, writing=True)
        sent = upload(
            bucket, generation, newest(settings.publish_keep), lambda: _still_read(place, generation)
        )
    removed = prune(bucket, sent.listed, sent.dropped)
    return UploadReport(url, sent.files, sent.bytes, time.perf_counter() - began, len(removed))


def going_back(settings: Settings) -> Callable[[Generation], None]:
    """What has to be done with a generation before a rollback to it: readers of object storage get it first.

    It raises UploadError if they do not, and then nothing is rolled back.
    """

    def first(generation: Generation) -> None:
        url = _url(settings)
        if url is None:
            return
        from availability_pipeline.object_storage.s3 import Bucket  # noqa: PLC0415 - boto3 is slow to load
        from availability_pipeline.object_storage.upload import back_to, upload  # noqa: PLC0415

        with _told(url, generation, back=True):
            upload(Bucket(url, settings.timeout_seconds, writing=True), generation, back_to)

    return first


def _url(settings: Settings) -> str | None:
    return None if settings.is_demo else settings.publish_url


def _read_here(place: Place, url: str) -> Generation:
    generation = generation_read(place)
    if generation is None:
        raise UploadError(
            f"there is no generation beside {place.database} that could go to {url}; run `publish`"
        )
    return generation


@contextmanager
def _still_read(place: Place, generation: Generation) -> Iterator[None]:
    """Pass if the generation is still the one that is read on this machine, and let no rollback change it meanwhile."""
    with locked(place):
        now = generation_read(place)
        if now is None or now.manifest.generation != generation.manifest.generation:
            raise RequestFailed(
                "another one is read here by now", "it is uploaded by itself, or by `publish`", transient=True
            )
        yield


@contextmanager
def _told(url: str, generation: Generation, *, back: bool = False) -> Iterator[None]:
    name = generation.manifest.generation
    try:
        yield
    except (RequestFailed, UsageError) as error:
        raise UploadError(
            f"nothing was rolled back, because generation {name} could not be read at {url}: {error}"
            if back
            else f"generation {name} was published here, but not to {url}: {error}; readers there keep the one before",
            transient=error.transient,
        ) from None
    except FileNotFoundError as error:
        raise UploadError(
            f"generation {name} could not be uploaded to {url}, because a file of it is missing; run `publish` to make "
            "a new generation"
        ) from error
    except OSError as error:
        cause = cause_of(error)
        raise UploadError(
            f"generation {name} could not be uploaded to {url}, because a file of it cannot be read ({cause.reason}); "
            f"{cause.remedy}"
        ) from error
