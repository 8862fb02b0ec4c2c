"""How a build tells what it is doing: what, how much of it is done, how much there is."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """For those who do not look."""
