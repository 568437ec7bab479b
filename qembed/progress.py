"""How a long command tells what it is doing; the command line shows it, the Python API is silent."""

from __future__ import annotations


class Progress:
    """Takes news and does nothing with them; ``cli.progress`` has one that shows them."""

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        """A new phase begins; ``total`` in ``unit`` where it is known."""

    def advance(self, amount: int, *, texts: int = 0) -> None:
        """``amount`` more units of the phase are done, ``texts`` more texts with them."""

    def note(self, message: str) -> None:
        """Something that the user should know."""

    def close(self) -> None:
        """The work has ended, well or not."""
