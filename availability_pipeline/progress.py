"""How long work is reported while it runs: the interface, and the reporter that says nothing.

Terminals are `cli`'s business. The methods are called from several threads.
"""

from __future__ import annotations


class Progress:
    """A reporter that says nothing; the base of those that do."""

    def stage(self, text: str, total: int | None = None, unit: str = "") -> None:
        """Begin the next stage, of `total` units if that is known."""

    def grow(self, count: int) -> None:
        """The stage turned out to have that many more units."""

    def advance(self, count: int = 1) -> None:
        """That many units of the stage are done."""
