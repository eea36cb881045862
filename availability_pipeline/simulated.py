"""Which data directories hold simulated data: real and simulated data must never meet in one.

The mark itself is a file that `settings` names.
"""

from __future__ import annotations

from availability_pipeline.errors import UsageError
from availability_pipeline.settings import Settings

_OTHER = "choose another folder with AVAILABILITY_DATA_DIR (or `demo --data-dir`)"


def check_kind(settings: Settings, *, simulated: bool) -> None:
    """Make sure that the data directory may hold such data.

    Raises:
        UsageError: It holds data of the other kind.
    """
    if settings.is_demo and not simulated:
        raise UsageError(f"{settings.data_dir} holds the demo's simulated data, and this is real; {_OTHER}")
    if simulated and not settings.is_demo and (settings.working_path.exists() or settings.db_file.exists()):
        raise UsageError(f"{settings.data_dir} holds real data, and this is simulated; {_OTHER}")


def mark_simulated(settings: Settings) -> None:
    """Mark the data directory as one of simulated data.

    Raises:
        UsageError: It holds real data, or cannot be written to.
    """
    try:
        check_kind(settings, simulated=True)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.demo_marker.write_text("The data in this folder is simulated.\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{settings.data_dir} cannot be written to ({error.strerror}); {_OTHER}") from error
