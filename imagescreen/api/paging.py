"""Lists are paged by key: `limit`, `after`, and `next` in the answer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec
from litestar.params import Parameter

T = TypeVar("T")

Limit = Annotated[int, Parameter(ge=1, le=500, default=50, description="Most entries in the answer.")]
After = Annotated[UUID | None, Parameter(description="`next` of the page before.")]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`next` is null on the last page, else the value of `after` for the next one."""

    items: Sequence[T]
    next: UUID | None


def page(rows: Sequence[T], limit: int, key: Callable[[T], UUID]) -> Page[T]:
    """`rows`: up to limit + 1 of them; the extra one only tells that there is more."""
    shown = rows[:limit]
    return Page(shown, key(shown[-1]) if len(rows) > limit else None)
