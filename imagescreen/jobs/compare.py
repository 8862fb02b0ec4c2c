"""What another model would change: stored screenings, screened again with both."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from imagescreen.database.feed import now
from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.embedding.encoder import Encoder
from imagescreen.errors import IndexUnavailable, InvalidContent, NotFound
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.workbench import Workbench, second_screener
from imagescreen.references.following import Followed, advance
from imagescreen.references.hash_following import HashFollowing
from imagescreen.references.word_following import WordFollowing
from imagescreen.screening.answer import Disposition
from imagescreen.screening.package import SubmittedPicture
from imagescreen.screening.screener import Screener
from imagescreen.serving.state import Serving


@dataclass(frozen=True, slots=True)
class Change:
    """One screening whose disposition the other model changes; `recorded` is what was answered at the time."""

    screening_id: UUID
    participant: str
    package_id: str
    revision: int
    recorded: Disposition
    before: Disposition
    after: Disposition


@dataclass(frozen=True, slots=True)
class Comparison:
    """`not_kept`: screenings of the same time that have a picture which was not kept, so that nobody can screen them
    again. `impossible` says why nothing could be compared at all.
    """

    compared: int
    not_kept: int
    changes: Sequence[Change]
    impossible: str | None = None


def compare(
    bench: Workbench, version: str, encoder: Encoder, *, sample: int, progress: Progress = silent
) -> Comparison:
    """Screens the newest `sample` screenings whose pictures are all kept with what is current, and with index version
    `version` and its model `encoder`: today's catalogue and policy on both sides, each with its own thresholds.
    """
    with bench.database.read() as session:
        chosen = _newest(session, sample)
        not_kept = _count_not_kept(session, since=chosen[-1].id if len(chosen) == sample else None)
    changes: list[Change] = []
    compared = 0
    with _screener_of(bench, version, encoder) as other:
        for seen, row in enumerate(chosen, start=1):
            try:
                pictures = _pictures(bench, row.id)
                before = bench.screener.disposition(pictures)
                after = other.disposition(pictures)
            except (NotFound, InvalidContent):
                # Purged meanwhile, or against a limit that was set since.
                not_kept += 1
            except IndexUnavailable as error:
                return Comparison(0, not_kept, (), impossible=error.detail)
            else:
                compared += 1
                if before is not after:
                    recorded = Disposition(row.disposition)
                    changes.append(
                        Change(row.id, row.participant, row.package_id, row.revision, recorded, before, after)
                    )
            progress("comparing screenings", seen, len(chosen))
    why = None if compared else "there are no stored screenings whose pictures are all kept"
    return Comparison(compared, not_kept, changes, impossible=why)


def _newest(session: Session, limit: int) -> Sequence[ScreeningRow]:
    return session.scalars(
        select(ScreeningRow).where(_has_picture(), ~_has_lost_picture()).order_by(ScreeningRow.id.desc()).limit(limit)
    ).all()


def _count_not_kept(session: Session, *, since: UUID | None) -> int:
    statement = select(func.count()).select_from(ScreeningRow).where(_has_lost_picture())
    return session.scalar(statement if since is None else statement.where(ScreeningRow.id >= since)) or 0


def _has_picture() -> ColumnElement[bool]:
    return exists().where(ScreeningPictureRow.screening_id == ScreeningRow.id)


def _has_lost_picture() -> ColumnElement[bool]:
    """A picture that was sent, so that it has a hash, and whose bytes were not kept."""
    return exists().where(
        ScreeningPictureRow.screening_id == ScreeningRow.id,
        ScreeningPictureRow.sha256.is_not(None),
        ScreeningPictureRow.stored.is_(False),
    )


def _pictures(bench: Workbench, screening_id: UUID) -> list[SubmittedPicture]:
    """Raises NotFound when the bytes of one are gone. One that was never sent, but named by a URL, stays without."""
    with bench.database.read() as session:
        sha256s = session.scalars(
            select(ScreeningPictureRow.sha256)
            .where(ScreeningPictureRow.screening_id == screening_id)
            .order_by(ScreeningPictureRow.position)
        ).all()
    return [SubmittedPicture(data=None if sha256 is None else bench.files.get(sha256)) for sha256 in sha256s]


@contextmanager
def _screener_of(bench: Workbench, version: str, encoder: Encoder) -> Iterator[Screener]:
    with ExitStack() as stack:
        batcher = bench.loader.batcher(encoder)
        stack.callback(batcher.close)
        opened = Followed.from_start(bench.loader.version(version, running=batcher))
        with bench.database.read() as session:
            moment = now()
            # Copies are found by hashes whatever the model, so both sides have them.
            hashes = HashFollowing().advance(session, moment)
            words = WordFollowing().advance(session, encoder, moment)
            served = replace(advance(session, opened, moment).served, hashes=hashes, words=words)
        screener = second_screener(bench, Serving(served))
        stack.callback(screener.close)
        yield screener
