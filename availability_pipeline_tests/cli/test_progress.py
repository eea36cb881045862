"""What a person sees of a run: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from availability_pipeline.collecting import progress
from availability_pipeline.collecting.progress import PlainProgress, TerminalProgress, shown_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_say_how_far_how_fast_and_how_long(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = PlainProgress(stream)
    shown.stage("listing", 100, "pages")
    shown.grow(100)
    clock[0] = 5.0
    shown.advance(50)
    assert stream.getvalue() == "listing …\n"
    clock[0] = 10.0
    shown.advance(50)
    assert stream.getvalue().splitlines()[1:] == ["listing: 100 of 200 pages, 10 a second, 10 s left"]


def test_plain_lines_say_when_a_stage_is_done(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = PlainProgress(stream)
    shown.stage("probing", 2, "files")
    clock[0] = 1.0
    shown.advance(2)
    assert stream.getvalue().splitlines()[-1] == "probing: 2 of 2 files, 2 a second, 0 s left"


def on_a_terminal(*, fail: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    try:
        with TerminalProgress(console) as shown:
            shown.stage("listing", 10, "pages")
            shown.advance(4)
            shown.grow(10)
            if fail:
                raise RuntimeError
    except RuntimeError:
        pass
    return stream.getvalue()


def test_a_stage_that_is_over_is_ticked_off_on_a_terminal() -> None:
    assert "✓" in on_a_terminal(fail=False)


def test_a_stage_that_failed_is_not() -> None:
    shown = on_a_terminal(fail=True)
    assert "✓" not in shown
    assert "4/20" in shown


def test_what_is_no_terminal_gets_plain_lines() -> None:
    with shown_progress(io.StringIO()) as shown:
        assert isinstance(shown, PlainProgress)
