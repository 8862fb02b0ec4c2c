"""How a job tells how far it is; scripts draw a bar, tests and the server ignore it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Tells nobody."""
