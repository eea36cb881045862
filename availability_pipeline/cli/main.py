"""The command line: entry point, lazily imported commands, and the form of errors.

Commands parse arguments, call a function and print. Exit codes: 0 ok, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

import click
from click.shell_completion import CompletionItem

from availability_pipeline import __version__
from availability_pipeline.cli.options import PROGRAM, chosen_dataset, example, read_env_file, with_dataset
from availability_pipeline.cli.output import sink
from availability_pipeline.collecting import reporting
from availability_pipeline.collecting.reporting import forget_impossible_sizes
from availability_pipeline.errors import AvailabilityError, IncompleteDayWarning, UsageError, cause_of
from availability_pipeline.settings import log_format

COMMANDS = {
    "backfill": (
        "collect:backfill",
        "Bring a range of days, or the whole history, up to date and publish it.",
    ),
    "update": ("collect:update", "Bring one day up to date and publish it."),
    "validate": ("maintain:validate", "Check the data; problems are shown with a remedy."),
    "publish": (
        "maintain:publish",
        "Publish the working database as it is, or roll back to the generation before.",
    ),
    "backup": ("maintain:backup", "Back the working database up, also while the pipeline runs."),
    "restore": ("maintain:restore", "Replace the working database by a backup."),
    "compact": ("maintain:compact", "Rewrite the working database without unused space."),
    "status": ("status:status", "Show how far the published data goes and what happened last."),
    "report": ("report:report", "Write the page about what is published."),
    "query": ("query:query", "Ask the published database: a day, a contract, a range of days."),
    "urls": ("files:urls", "List the URLs of the files that exist, for a download."),
    "download": (
        "files:download",
        "Fetch files into a folder, verified; only what is missing or was replaced.",
    ),
    "datasets": ("datasets:datasets", "List the datasets of the archive, and what is collected of them."),
    "export": ("files:export", "Write the published data into Parquet or CSV files."),
    "demo": ("demo:demo", "Try everything on the built-in simulated archive, offline."),
}
"""By command: module and attribute, and the line of help."""


_HELP = {"--help", "-h", "--version"}

_INTERRUPTED = "Query interrupted"
"""Text of the RuntimeError that DuckDB raises on Ctrl-C."""

_INTERRUPTED_CODE = 130


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Failure(click.ClickException):
    """A failed command: `Error: one sentence` or a JSON line on stderr, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        if log_format() == "text":
            # On one line, even with control characters in names of files.
            message = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], self.message)
            click.echo(f"Error: {message}", file=file, err=file is None)
        else:
            click.echo(reporting.json_line(logging.ERROR, self.message), err=True)


def _say(level: int, text: str, message: str | None = None) -> None:
    """Write the text, or `message` as a JSON line, to stderr."""
    click.echo(text if log_format() == "text" else reporting.json_line(level, message or text), err=True)


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Show each warning of the package once, as `Warning: one sentence` on stderr."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, IncompleteDayWarning):
            show_others(message, category, *place, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            _say(logging.WARNING, f"Warning: {message}", str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", IncompleteDayWarning)
        show_others = warnings.showwarning
        warnings.showwarning = show
        yield


@contextmanager
def _usage_in_log_format() -> Iterator[None]:
    """Show click's usage errors as JSON lines if that is the log format."""
    try:
        yield
    except click.UsageError as error:
        if log_format() == "text":
            raise
        raise _Failure(error.format_message(), error.exit_code) from error


class LazyGroup(click.Group):
    """The lazily imported commands of `COMMANDS`, and the handler of all errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(import_module(f"availability_pipeline.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is no command")
        return command if cmd_name == "datasets" else with_dataset(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of the commands without importing them, and the options."""
        commands = [CompletionItem(name, help=summary) for name, (_, summary) in COMMANDS.items()]
        return [
            item for item in commands if item.value.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line and exit."""
        forget_impossible_sizes()
        return super().main(*args, **kwargs)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the checkout's `.env` and the arguments; errors follow the log format."""
        completes = extra.get("resilient_parsing", False)
        # The demo and help do not use the real data.
        if not completes and args[:1] != ["demo"] and _HELP.isdisjoint(args):
            try:
                read_env_file()
            except UsageError as error:
                raise _Failure(str(error), error.exit_code) from error
        with _usage_in_log_format():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of the package become one sentence and an exit code."""
        try:
            with (
                reporting.written(log_format(), everything=True),
                _warnings_as_sentences(),
                _usage_in_log_format(),
            ):
                return super().invoke(ctx)
        except AvailabilityError as error:
            raise _Failure(chosen_dataset(ctx).in_commands(str(error)), error.exit_code) from error
        except (KeyboardInterrupt, RuntimeError) as error:
            if isinstance(error, RuntimeError) and str(error) != _INTERRUPTED:
                raise
            _say(logging.WARNING, "Interrupted; what was not complete was not written.")
            ctx.exit(_INTERRUPTED_CODE)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("backfill", "query snapshot 2024-01-15", "query timeline BTCUSDT"),
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Which daily 1-minute kline files Binance's public archive holds, per perpetual future and UTC day."""


def _open_closed_streams() -> None:
    """Reopen closed standard streams, so that no file gets their descriptors; writing to stdout then fails."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    sys.stdin, sys.stderr = sys.stdin or open(0), sys.stderr or open(2, "w")  # noqa: SIM115 - for good


def main() -> None:
    """Run the command line and exit."""
    _open_closed_streams()
    # UTF-8 in every locale, because not all symbols are ASCII.
    sys.stdout = io.TextIOWrapper(sink(1, "wb", _unwritten), "utf-8", line_buffering=os.isatty(1))
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors=sys.stderr.errors)
    try:
        cli.main(prog_name=PROGRAM)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED_CODE:
            # Python would wait for the threads whose requests are under way, each until its time-out.
            sys.stderr.flush()
            os._exit(_INTERRUPTED_CODE)
        raise
    except OSError as error:
        cause = cause_of(error)
        where = f"{error.filename}: " if error.filename else ""
        _Failure(f"the command could not go on ({where}{cause.reason}); {cause.remedy}", 1).show()
        sys.exit(1)


def _unwritten(error: OSError) -> Exception:
    """The error for a failed write to stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise the flush at exit fails again
    return _Failure(f"standard output could not be written ({error.strerror}); send it elsewhere", 1)
