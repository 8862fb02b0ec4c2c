"""The parts that the server, the scripts and the jobs all work with, wired once."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagescreen.database.files import PictureFiles
from imagescreen.database.group_commit import GroupCommit
from imagescreen.database.migrate import migrate
from imagescreen.database.session import Database
from imagescreen.embedding.cache import VectorCache
from imagescreen.jobs.drift import DriftWatch
from imagescreen.jobs.folding import Folding
from imagescreen.pictures import DecodingBudget, PdqHasher, PictureLimits, PictureReader
from imagescreen.references.catalogue import Catalogue
from imagescreen.references.enrolment import Enrolment
from imagescreen.references.follower import Follower
from imagescreen.screening.known_hashes import KnownHashes
from imagescreen.screening.matches import ReferenceLookup
from imagescreen.screening.policy import Policy, read_policy, record_policy
from imagescreen.screening.record import ScreeningRecord, insert_screenings
from imagescreen.screening.screened_vectors import ScreenedVectors
from imagescreen.screening.screener import Screener
from imagescreen.serving.loader import Loader
from imagescreen.serving.state import Serving
from imagescreen.settings import Settings


@dataclass(frozen=True, slots=True)
class Store:
    """The truth alone: enough for what needs no model."""

    settings: Settings
    database: Database
    files: PictureFiles

    @property
    def versions_dir(self) -> Path:
        return self.settings.index_dir / "versions"


@dataclass(frozen=True, slots=True)
class Workbench(Store):
    reader: PictureReader
    hasher: PdqHasher | None
    policy: Policy
    loader: Loader
    follower: Follower
    folding: Folding
    drift: DriftWatch
    catalogue: Catalogue
    enrolment: Enrolment
    record: ScreeningRecord
    screener: Screener


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Prepares the database. Raises BrokenInstallation when it is not sound."""
    database = Database(settings.sqlalchemy_url)
    try:
        migrate(database)
        yield Store(settings, database, PictureFiles(settings.data_dir / "pictures"))
    finally:
        database.close()


@contextmanager
def open_workbench(settings: Settings) -> Iterator[Workbench]:
    """Prepares the database, loads what is current, and closes everything in turn at the end.

    Raises BrokenInstallation when the policy, the database or the first model is not sound. A broken index version
    raises nothing: see `Follower`.
    """
    with ExitStack() as stack:
        policy = read_policy(settings.policy_file)
        store = stack.enter_context(open_store(settings))
        database, files = store.database, store.files
        record_policy(database, policy)
        reader = new_reader(settings)
        loader = Loader(settings)
        follower = Follower(database, loader, poll_s=settings.feed_poll_s)
        stack.callback(follower.close)
        folding = Folding(settings, database, follower)
        stack.callback(folding.close)
        drift = DriftWatch(database, follower.serving, near_duplicate=settings.near_duplicate_similarity)
        stack.callback(drift.close)
        writer = GroupCommit(database, insert_screenings)
        stack.callback(writer.close)
        record = ScreeningRecord(database, writer)
        hasher = PdqHasher.installed()
        screener = _new_screener(
            store, reader=reader, hasher=hasher, record=record, policy=policy, serving=follower.serving
        )
        stack.callback(screener.close)
        enrolment = Enrolment(
            database,
            files,
            reader,
            follower,
            hasher=hasher,
            max_pictures=settings.max_pictures,
            near_duplicate_similarity=settings.near_duplicate_similarity,
        )
        yield Workbench(
            settings=settings,
            database=database,
            files=files,
            reader=reader,
            hasher=hasher,
            policy=policy,
            loader=loader,
            follower=follower,
            folding=folding,
            drift=drift,
            catalogue=Catalogue(database, files, on_change=follower.catch_up, serving=follower.serving),
            enrolment=enrolment,
            record=record,
            screener=screener,
        )


def new_reader(settings: Settings) -> PictureReader:
    return PictureReader(
        PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels, settings.min_picture_side),
        DecodingBudget(settings.max_decoding_pixels, settings.decode_threads or available_cores()),
    )


def second_screener(bench: Workbench, serving: Serving) -> Screener:
    """One that screens with something else than what is current; the caller closes it."""
    return _new_screener(
        bench, reader=bench.reader, hasher=bench.hasher, record=bench.record, policy=bench.policy, serving=serving
    )


def _new_screener(
    store: Store,
    *,
    reader: PictureReader,
    hasher: PdqHasher | None,
    record: ScreeningRecord,
    policy: Policy,
    serving: Serving,
) -> Screener:
    settings = store.settings
    return Screener(
        serving=serving,
        reader=reader,
        lookup=ReferenceLookup(store.database),
        record=record,
        files=store.files,
        cache=VectorCache(
            max_pictures=settings.cached_pictures,
            stored=ScreenedVectors(store.database).find if settings.cache_in_database else None,
        ),
        hashes=None
        if hasher is None
        else KnownHashes(store.database, reader, hasher, max_pictures=settings.cached_pictures),
        policy=policy,
        max_pictures=settings.max_pictures,
        max_package_pixels=settings.max_package_pixels,
        matches_limit=settings.matches_limit,
        keep_pictures=settings.keep_pictures,
        decode_threads=settings.decode_threads or available_cores(),
    )


def available_cores() -> int:
    """Cores that this process may use; containers often allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
