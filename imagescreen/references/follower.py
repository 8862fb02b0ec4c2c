"""Follows the change feed, so that what is committed anywhere takes effect in this process.

One path for changes of this process and of others: an entry only says *which* reference changed; what is true of it now
is read from the database. So entries may be applied twice, late, or several at once.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from uuid_utils.compat import uuid7

from imagescreen.database.feed import now
from imagescreen.database.index_versions import Activation, current_activation
from imagescreen.database.processes import ProcessReport
from imagescreen.database.session import Database
from imagescreen.embedding.batcher import Batcher
from imagescreen.errors import BrokenIndex, BrokenInstallation, ImagescreenError
from imagescreen.matching import FilesNow, IndexSnapshot
from imagescreen.references.fallback import older_versions
from imagescreen.references.following import Followed, advance
from imagescreen.references.hash_following import HashFollowing
from imagescreen.references.heartbeat import Heartbeat
from imagescreen.references.loading import MAX_TURN_WAIT_S, BackgroundLoading, Refused, loading_turn
from imagescreen.references.word_following import WordFollowing
from imagescreen.serving.loader import Loader
from imagescreen.serving.state import BUILD_COMMAND, Served, Serving

RETIRED_BATCHER_S = 60.0
"""How long a replaced model stays usable for the requests that took it before the switch."""


@dataclass(frozen=True, slots=True)
class FollowerState:
    """How far this process is.

    `behind_s` is the time since the last look at the feed after which everything was served. `loading` names the
    version that will be switched to, `switch_s` is how long the last switch took from the first look that saw it.
    """

    sequence: int
    behind_s: float
    error: str | None
    pictures_without_vector: int
    loading: str | None
    switch_s: float | None


class Follower:
    """Keeps `Serving` up with the database. `poll` is one look; `start` looks every `poll_s` in a thread.

    Until it is started, `poll` loads a version that became current itself. Once started, versions are loaded beside
    the looks, which go on with the old version meanwhile, and the process reports what it serves.

    `clock` tells the moment that suspensions and validity dates are judged at; `turn_wait_s` is how long a process
    waits at most while others load.
    """

    def __init__(
        self,
        database: Database,
        loader: Loader,
        *,
        poll_s: float,
        clock: Callable[[], datetime] = now,
        turn_wait_s: float = MAX_TURN_WAIT_S,
    ) -> None:
        self._database = database
        self._loader = loader
        self._poll_s = poll_s
        self._clock = clock
        self._turn_wait_s = turn_wait_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._log = structlog.get_logger("imagescreen.follower")
        self._thread: threading.Thread | None = None
        self._background: BackgroundLoading | None = None
        self._heartbeat: Heartbeat | None = None
        self._retired: list[tuple[float, Batcher]] = []
        self._loaded: tuple[Activation, Followed] | None = None
        self._refused: Activation | None = None
        self._problem: str | None = None
        self._seen: tuple[Activation, float] | None = None
        self._switch_s: float | None = None
        self._last_success = time.monotonic()
        self._error: str | None = None
        self.process_id = uuid7()
        self._started_at = now()
        self._hashes = HashFollowing()
        self._words = WordFollowing()
        self._followed = self._first()
        self.serving = Serving(self._followed.served)
        self.poll()

    def poll(self) -> None:
        """Takes everything that is committed by now into what is served."""
        with self._lock:
            moment = self._clock()
            with self._database.read() as session:
                wanted = current_activation(session)
            chosen = self._in_place_of_damaged(wanted) or self._chosen(wanted)
            with self._database.read() as session:
                followed = advance(session, chosen, moment)
                hashes = self._hashes.advance(session, moment)
                words = self._words.advance(session, followed.served.batcher.encoder, moment)
            self._serve(replace(followed, served=replace(followed.served, hashes=hashes, words=words)))
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
        with self._lock:
            self._background = BackgroundLoading(self._load_in_turn, self._drop, self._stop)
        self._heartbeat = Heartbeat(self._database, self.report)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the threads and the models."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._background is not None:
            self._background.close()
        if self._heartbeat is not None:
            self._heartbeat.close()
        self._forget_loaded()
        for _, batcher in self._retired:
            batcher.close()
        self.serving.current().batcher.close()

    def state(self) -> FollowerState:
        return FollowerState(
            sequence=self.serving.current().snapshot.sequence,
            behind_s=time.monotonic() - self._last_success,
            error=self._error,
            pictures_without_vector=len(self._followed.without_vector),
            loading=None if self._background is None else self._background.loading,
            switch_s=self._switch_s,
        )

    def report(self) -> ProcessReport:
        """What this process serves, for the other ones."""
        served, state = self.serving.current(), self.state()
        snapshot = served.snapshot
        return ProcessReport(
            id=self.process_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=now(),
            version=snapshot.version,
            model=served.batcher.encoder.name,
            fingerprint=snapshot.fingerprint,
            sequence=snapshot.sequence,
            references=snapshot.reference_count,
            pictures=snapshot.picture_count,
            changes_since_version=snapshot.changes_since_version,
            feed_behind_s=round(state.behind_s, 3),
            loading=state.loading,
            problem=self.serving.problem or state.error,
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

    def _first(self) -> Followed:
        """What is current; where that is refused, the newest sound version before it."""
        with self._database.read() as session:
            wanted = current_activation(session)
        if wanted is None:
            return Followed.from_start(self._loader.without_version())
        loaded = self._load(wanted.version, None)
        if isinstance(loaded, Followed):
            return loaded
        self._refused = wanted
        return self._older_than(wanted.version, loaded.why, None) or Followed.from_start(self._loader.without_version())

    def _older_than(self, version: str, why: str, running: Batcher | None) -> Followed | None:
        """The newest sound version before one that cannot be served, for the reason `why`; None when there is none."""
        self._problem = why
        with self._database.read() as session:
            older = older_versions(session, version, self._loader.versions_dir)
        for name in older:
            fallback = self._load(name, running)
            if isinstance(fallback, Followed):
                self._problem = f"{why}; index version {name} is served in its place"
                self._log.warning("older_index_version_served", version=name)
                return fallback
        return None

    def _in_place_of_damaged(self, wanted: Activation | None) -> Followed | None:
        """What to serve when the files behind the served version were written to; None while they were not.

        They are mapped: from then on every answer may be wrong.
        """
        served = self._followed.served
        version = served.snapshot.version
        if version is None or served.snapshot.files is None or served.snapshot.files.now() is not FilesNow.CHANGED:
            return None
        why = (
            f"the files of index version {version} were changed while it was served; build another with {BUILD_COMMAND}"
        )
        self._log.error("served_index_version_damaged", version=version)
        # At once: until another version is there, no answer is better than a wrong one.
        nothing = IndexSnapshot.empty(served.snapshot.fingerprint, served.snapshot.dimension)
        self._followed = Followed.from_start(Served(served.batcher, nothing, hashes=served.hashes))
        self.serving.replace(self._followed.served, why)
        if wanted is not None and wanted.version == version:
            self._refused = wanted
        return self._older_than(version, why, served.batcher) or self._followed

    def _chosen(self, wanted: Activation | None) -> Followed:
        """What to serve from now on: the version that is current, once it is loaded, else what was served before."""
        if self._loaded is not None and self._loaded[0] != wanted:
            self._forget_loaded()
        if wanted is None or wanted.version == self._followed.served.snapshot.version:
            self._refused = self._seen = None
            self._problem = self._gone()
            if self._background is not None:
                self._background.forget()
            return self._followed
        if wanted == self._refused:
            # The same broken version is not read again at every look.
            return self._followed
        if self._seen is None or self._seen[0] != wanted:
            self._seen = (wanted, time.monotonic())
        if self._loaded is None:
            loaded = self._ask(wanted)
            if loaded is None:
                return self._followed
            if isinstance(loaded, Refused):
                self._refused, self._problem = wanted, loaded.why
                return self._followed
            self._loaded = (wanted, loaded)
        return self._loaded[1]

    def _gone(self) -> str | None:
        """That the files of the served version are no longer there, which disturbs nobody before the next start."""
        snapshot = self._followed.served.snapshot
        if snapshot.files is None or snapshot.files.now() is not FilesNow.GONE:
            return None
        return (
            f"files of index version {snapshot.version} are gone: this process serves on, but none could load it; "
            f"build another with {BUILD_COMMAND}"
        )

    def _serve(self, followed: Followed) -> None:
        before = self._followed.served
        served = followed.served
        if self._loaded is not None:
            # Only now: until the changes since were applied, a look may fail, and the next one goes on from there.
            activation, self._loaded = self._loaded[0], None
            self._refused = self._problem = None
            if self._seen is not None:
                self._switch_s = time.monotonic() - self._seen[1]
            self._log.info(
                "index_version_served",
                version=activation.version,
                model=served.batcher.encoder.name,
                switch_s=round(self._switch_s or 0, 3),
            )
        self._followed = followed
        self.serving.replace(served, self._problem)
        if served.batcher is not before.batcher:
            self._retired.append((time.monotonic(), before.batcher))

    def _ask(self, wanted: Activation) -> Followed | Refused | None:
        if self._background is None:
            return self._load(wanted.version, self._followed.served.batcher)
        return self._background.ask(wanted)

    def _load(self, version: str, running: Batcher | None) -> Followed | Refused:
        try:
            return Followed.from_start(self._loader.version(version, running=running))
        except Exception as error:
            # Whatever it is (no memory for a second model, say): what is served goes on.
            refused = Refused.of(version, error)
            known = isinstance(error, ImagescreenError)
            self._log.error(
                "index_version_refused", version=version, error=refused.why, exc_info=None if known else error
            )
            return refused

    def _load_in_turn(self, wanted: Activation) -> Followed | Refused:
        """With the changes since the version, so that the look that switches has little left to do."""
        with loading_turn(self._loader.versions_dir.parent, self._stop, self._turn_wait_s):
            loaded = self._load(wanted.version, self.serving.current().batcher)
            if isinstance(loaded, Refused):
                return loaded
            try:
                with self._database.read() as session:
                    return advance(session, loaded, self._clock())
            except (BrokenIndex, BrokenInstallation) as error:
                # Looks would fail for ever, and what is served now would get no changes either.
                self._drop(loaded)
                return Refused.of(wanted.version, error)
            except Exception as error:
                # The look that takes it tries again, and tells when it cannot.
                self._log.warning("changes_not_applied", version=wanted.version, exc_info=error)
                return loaded

    def _forget_loaded(self) -> None:
        if self._loaded is not None:
            self._drop(self._loaded[1])
            self._loaded = None

    def _drop(self, followed: Followed) -> None:
        """Ends a model that was loaded for nothing; one that serves, or served until a moment ago, stays."""
        used = [self.serving.current().batcher, *(batcher for _, batcher in self._retired)]
        if not any(followed.served.batcher is batcher for batcher in used):
            followed.served.batcher.close()

    def _close_retired(self) -> None:
        old = [item for item in self._retired if time.monotonic() - item[0] > RETIRED_BATCHER_S]
        self._retired = [item for item in self._retired if item not in old]
        for _, batcher in old:
            batcher.close()
