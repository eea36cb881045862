"""What every test shares: a clean environment, and settings that point at a simulated archive.

Nothing here may reach the network beyond this machine or a file outside the test's own folder.
"""

from __future__ import annotations

import datetime as dt
import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import requests
from alembic.config import Config
from alembic.script import ScriptDirectory
from botocore.loaders import JSONFileLoader, Loader
from filelock import FileLock

from availability_pipeline.collecting import report
from availability_pipeline.defs.launch import open_instance
from availability_pipeline.settings import Settings
from availability_pipeline_tests.dagster_side import NOW, Site, site_for
from availability_pipeline_tests.demo_data import Demo, demo_of, made_once, make_demo
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

# A background job of a shell starts with SIGINT ignored, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, in which pytest makes a folder of the user's own
ROOM = 1_000_000_000
"""Bytes free in it that are enough: a fifth of that is used at a time, and only what failed is left."""


# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "here",
    hypothesis.settings.default,
    max_examples=40,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("here")


def pytest_configure() -> None:
    """Let files of tests be in memory: on a disk, Dagster's SQLite waits for it some hundred times in each run."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    # What draws reports takes three seconds to make.
    os.environ["XDG_CACHE_HOME"] = str(ROOT / ".cache" / "tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end nobody waits for one test."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays for all tests: going through it took longer than many a test."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let it go through everything at the end again, where some libraries look for what is left."""
    gc.unfreeze()


FOREIGN = ("AVAILABILITY_", "AWS_", "DAGSTER_")
"""How variables begin that would make a test depend on the machine it runs on."""

NETWORK = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE",
)  # fmt: skip
"""What programs look up in the environment when they ask servers."""

SettingsFactory = Callable[..., Settings]

ROOT = Path(__file__).resolve().parent.parent
"""The folder with the package, for processes that tests start."""


def start_python(
    code: str, *arguments: object, stdin: int | None = None, **environ: str
) -> subprocess.Popen[str]:
    """Another Python that runs the code with the package at hand; its output is piped."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_python(code: str, *arguments: object, **environ: str) -> str:
    """What such code prints; it must succeed."""
    with start_python(code, *arguments, **environ) as process:
        output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(autouse=True, scope="session")
def _away_from_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave a checkout with a `.env`, which the commands that tests run in it would go by."""
    if (ROOT / ".env").exists():
        os.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(autouse=True, scope="session")
def _descriptions_read_once() -> Iterator[None]:
    """Let clients share botocore's descriptions of S3: finding and reading them takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(JSONFileLoader().load_file)
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: once(path))
        listed = functools.cache(Loader().list_available_services)
        patch.setattr(Loader, "list_available_services", lambda _, type_name: listed(type_name))
        yield


@pytest.fixture(autouse=True, scope="session")
def _migrations_read_once() -> Iterator[None]:
    """Let databases of Dagster share its list of migrations, which it reads for each run's, a tenth of a run's time."""
    with pytest.MonkeyPatch.context() as patch:
        read = ScriptDirectory.from_config
        once: dict[str | None, ScriptDirectory] = {}

        def shared(config: Config) -> ScriptDirectory:
            place = config.get_main_option("script_location")
            if place not in once:
                once[place] = read(config)
            return once[place]

        patch.setattr(ScriptDirectory, "from_config", staticmethod(shared))
        yield


@pytest.fixture(autouse=True, scope="session")
def _scripts_bundled_once() -> Iterator[None]:
    """Let the processes of a test run wait for the one that makes what draws reports, in a checkout without it."""
    with pytest.MonkeyPatch.context() as patch:
        bundle = report._bundle
        cache = Path(os.environ["XDG_CACHE_HOME"])
        cache.mkdir(parents=True, exist_ok=True)

        def alone(settings: Settings) -> str:
            with FileLock(cache / "bundle.lock"):
                return bundle(settings)

        patch.setattr(report, "_bundle", alone)
        yield


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can look into; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(FOREIGN) or name.upper() in NETWORK:
            monkeypatch.delenv(name)


def empty_moto(url: str) -> None:
    """Forget what moto's server holds: all its servers in a process share one memory."""
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFactory:
    """Settings for a simulator server (or None) with a data directory of the test's own."""

    def load(server: ObservedServer | None = None, **arguments: str | int | None) -> Settings:
        environ = {} if server is None else server.environment()
        chosen = {"data_dir": str(tmp_path / "data"), "connections": "8", "retry_seconds": "0", **arguments}
        return Settings.load(
            environ, **{name: None if value is None else str(value) for name, value in chosen.items()}
        )

    return load


SetClock = Callable[[str], dt.datetime]


@pytest.fixture
def set_clock(site: Site, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set all clocks, the pipeline's and the archive's, to a moment in UTC, such as `2024-03-02 07:30`."""

    def set_both(text: str) -> dt.datetime:
        moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        monkeypatch.setattr("availability_pipeline.dates._clock", lambda: moment)
        site.archive.set_now(moment)
        site.server.date = moment
        return moment

    return set_both


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster instance without history, for copies: making its databases takes longer than many a test."""

    def make(folder: Path) -> None:
        with open_instance(folder):
            pass

    return made_once(tmp_path_factory, "instance", make)


@pytest.fixture
def site(
    settings_for: SettingsFactory, new_instance: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Ten contracts, an empty data directory and a Dagster instance, found through the environment."""
    archive = ScriptedArchive.recorded(symbols=10, now=NOW)
    with serve(archive) as server:
        settings = settings_for(server)
        for variable, value in settings.environment().items():
            monkeypatch.setenv(variable, value)
        with site_for(archive, server, settings, new_instance) as opened:
            yield opened


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The published history of twenty contracts, which no test may change."""
    return demo_of(made_once(tmp_path_factory, "demo", make_demo))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 7 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=7m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes rights that this process does not have")
    yield place
    subprocess.run(["umount", str(place)], check=True)
