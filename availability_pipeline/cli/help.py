"""How the commands' help is written, so that every one has an example."""

from __future__ import annotations

PROGRAM = "binance-futures-availability"
"""The name of the command."""


def example(*commands: str) -> str:
    """An epilog for click that shows commands as they are typed.

    Args:
        commands: Command lines without the program's name.
    """
    lines = [f"  {PROGRAM} {command}" for command in commands]
    # \b keeps click from wrapping the lines into a paragraph.
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *lines])
