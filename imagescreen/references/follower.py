"""Follows the change feed, so that what is committed anywhere takes effect in this process.

One path for changes of this process and of others: an entry only says *which* reference changed; what is true of it now
is read from the database. So entries may be applied twice, late, or several at once.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from imagescreen.database.feed import now, read_changes
from imagescreen.database.index_versions import current_version
from imagescreen.database.matchable import any_known_item_matches, pictures_of, references_turned_by_time
from imagescreen.database.session import Database
from imagescreen.database.vectors import from_blobs
from imagescreen.embedding.batcher import Batcher
from imagescreen.errors import ImagescreenError
from imagescreen.matching import PictureChange
from imagescreen.references.facts import ReferenceKind
from imagescreen.serving.loader import Loader
from imagescreen.serving.state import Served, Serving

RETIRED_BATCHER_S = 60.0
"""How long a replaced model stays usable for the requests that took it before the switch."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FollowerState:
    """How far this process is; `behind_s` is the time since the last successful look at the feed."""

    sequence: int
    behind_s: float
    error: str | None
    pictures_without_vector: int


class Follower:
    """Keeps `Serving` up with the database. `poll` is one look; `start` looks every `poll_s` in a thread.

    `clock` tells the moment that suspensions and validity dates are judged at.
    """

    def __init__(
        self, database: Database, loader: Loader, *, poll_s: float, clock: Callable[[], datetime] = now
    ) -> None:
        self._database = database
        self._loader = loader
        self._poll_s = poll_s
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("imagescreen.follower")
        self._retired: list[tuple[float, Batcher]] = []
        self._refused: str | None = None
        self._without_vector: set[int] = set()
        self._judged_at = _BEGINNING
        self._switched = True
        self._last_success = time.monotonic()
        self._error: str | None = None
        self.serving = self._first()
        self.poll()

    def poll(self) -> None:
        """Takes everything that is committed by now into what is served."""
        with self._lock:
            before = self.serving.current()
            served, problem = self._current_version(before)
            moment = self._clock()
            try:
                with self._database.read() as session:
                    served = self._with_changes(session, served, moment)
            except BaseException:
                if served.batcher is not before.batcher:
                    served.batcher.close()
                raise
            self.serving.replace(served, problem)
            self._switched = False
            if served.batcher is not before.batcher:
                self._retired.append((time.monotonic(), before.batcher))
            self._judged_at = moment
            self._last_success = time.monotonic()
            self._error = None
            self._close_retired()

    def catch_up(self) -> None:
        """`poll` after a commit of one's own: a failure is logged and retried by the thread, the commit stands."""
        try:
            self.poll()
        except Exception as error:
            self._note_failure(error)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and the models."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for _, batcher in self._retired:
            batcher.close()
        self.serving.current().batcher.close()

    def state(self) -> FollowerState:
        return FollowerState(
            sequence=self.serving.current().snapshot.sequence,
            behind_s=time.monotonic() - self._last_success,
            error=self._error,
            pictures_without_vector=len(self._without_vector),
        )

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.poll()
            except Exception as error:
                # The thread must outlive whatever happened; readiness turns red by `behind_s`.
                self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        self._error = error.detail if isinstance(error, ImagescreenError) else "the change feed cannot be read"
        self._log.error("feed_not_followed", error=self._error, exc_info=error)

    def _first(self) -> Serving:
        with self._database.read() as session:
            row = current_version(session)
        if row is not None:
            try:
                served = self._loader.version(row.version)
            except Exception as error:
                problem = self._refuse(row.version, error)
            else:
                self._judged_at = _as_of(served)
                return Serving(served)
        served = self._loader.without_version()
        serving = Serving(served)
        serving.replace(served, None if row is None else problem)
        return serving

    def _current_version(self, served: Served) -> tuple[Served, str | None]:
        """What the database says is current, if it is sound, else what was served before and why it stays."""
        with self._database.read() as session:
            row = current_version(session)
        if row is None or row.version == served.snapshot.version:
            self._refused = None
            return served, None
        if row.version == self._refused:
            # The same broken version is not read again at every look.
            return served, self.serving.problem
        try:
            switched = self._loader.version(row.version, running=served.batcher)
        except Exception as error:
            # Whatever it is (no memory for a second model, say): the old version keeps serving.
            return served, self._refuse(row.version, error)
        self._refused = None
        self._switched = True
        self._without_vector.clear()
        self._judged_at = _as_of(switched)
        self._log.info("index_version_served", version=row.version, model=switched.batcher.encoder.name)
        return switched, None

    def _refuse(self, version: str, error: Exception) -> str:
        self._refused = version
        known = isinstance(error, ImagescreenError)
        why = error.detail if isinstance(error, ImagescreenError) else f"it cannot be loaded ({type(error).__name__})"
        self._log.error("index_version_refused", version=version, error=why, exc_info=None if known else error)
        return f"index version {version} is current but was refused: {why}"

    def _with_changes(self, session: Session, served: Served, moment: datetime) -> Served:
        snapshot = served.snapshot
        sequence = snapshot.sequence
        changed: set[UUID] = set()
        while entries := read_changes(session, after=sequence):
            changed.update(entry.reference_id for entry in entries if entry.reference_id is not None)
            sequence = entries[-1].sequence
        changed.update(references_turned_by_time(session, after=self._judged_at, until=moment))
        if not changed and sequence == snapshot.sequence and not self._switched:
            return served
        pictures = list(pictures_of(session, sorted(changed), fingerprint=snapshot.fingerprint, moment=moment))
        for picture in pictures:
            (self._without_vector.add if picture.lacks_vector else self._without_vector.discard)(picture.picture_id)
        vectors = iter(
            from_blobs([picture.vector for picture in pictures if picture.vector is not None], snapshot.dimension)
        )
        changes = [
            PictureChange(picture.picture_id, picture.reference_id, None if picture.vector is None else next(vectors))
            for picture in pictures
        ]
        return Served(
            served.batcher,
            snapshot.with_changes(changes, sequence),
            served.thresholds,
            any_known_item_matches(session, moment=moment, kind=ReferenceKind.KNOWN_ITEM.value),
        )

    def _close_retired(self) -> None:
        old = [item for item in self._retired if time.monotonic() - item[0] > RETIRED_BATCHER_S]
        self._retired = [item for item in self._retired if item not in old]
        for _, batcher in old:
            batcher.close()


def _as_of(served: Served) -> datetime:
    manifest = served.snapshot.manifest
    return _BEGINNING if manifest is None else manifest.as_of
