"""What this process serves, and which index versions there are."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Request, get
from sqlalchemy.orm import Session

from imagescreen.api.work import Desk, desk_of
from imagescreen.calibration.normalisation import Normalisation
from imagescreen.calibration.thresholds import Thresholds
from imagescreen.database.feed import now
from imagescreen.database.index_versions import IndexVersionSummary, current_version, versions
from imagescreen.database.processes import ProcessReport, entries_after, live_processes
from imagescreen.jobs.drift import Drift
from imagescreen.matching import list_versions
from imagescreen.screening.answer import ModelInfo


class ServerProcess(msgspec.Struct, frozen=True):
    """What one process of the deployment told of itself `seen_s_ago` seconds ago.

    `behind_entries` entries of the change feed are not served by it yet. `behind_s` is the age of the oldest of them,
    or the time since its last successful look at the feed if that is longer. `loading` names the version that it is
    about to switch to. `answering` is the process that gives this answer.
    """

    host: str
    pid: int
    answering: bool
    started_at: datetime
    seen_s_ago: float
    version: str | None
    model: ModelInfo
    sequence: int
    references: int
    pictures: int
    changes_since_version: int
    behind_entries: int
    behind_s: float
    loading: str | None
    problem: str | None


class CopySearch(msgspec.Struct, frozen=True):
    """How copies of reference pictures are found. Without `pdq` (the extra is not installed) only the same file is.

    `pdq_hashes` counts those that are searched, `hashes_without_picture` those that partners sent.
    """

    pdq: bool
    pdq_hashes: int
    hashes_without_picture: int


class WordSearch(msgspec.Struct, frozen=True):
    """How references described in words are found: how many `references` with how many `phrases` (contrast left out),
    and in `problem` why some do not match or flag by them.
    """

    references: int
    phrases: int
    problem: str | None


class ServedIndex(msgspec.Struct, frozen=True):
    """`problem` says why something else is current in the database; `thresholds` is null before calibration.

    `processes` are all those on this database that were seen within the last minute; the rest is about the answering
    one. `changes_since_version` counts the pictures that came, changed or went since the version was built.

    `folding_problem` says why changes could not be folded into a new version.

    `thresholds_keep_policy` is false when the policy's wishes for scores changed after the version was built: rebuild.
    `normalisation` is null without a background: scores are raw similarities then. `drift` says what references that
    came since the version do to the promised rates, `drift_warning` what to do when one has moved by more than a tenth,
    or the background nearly has such a reference.
    """

    version: str | None
    current_version: str | None
    model: ModelInfo
    sequence: int
    references: int
    pictures: int
    changes_since_version: int
    built_at: datetime | None
    feed_behind_s: float
    loading: str | None
    problem: str | None
    folding_problem: str | None
    pictures_without_vector: int
    policy_version: str
    thresholds_keep_policy: bool | None
    normalisation: Normalisation | None
    thresholds: Thresholds | None
    copies: CopySearch
    words: WordSearch
    drift: Drift | None
    drift_warning: str | None
    processes: list[ServerProcess]


class IndexVersions(msgspec.Struct, frozen=True):
    """Newest first, at most 500."""

    items: list[IndexVersionSummary]


class IndexController(Controller):
    path = "/v1/index"
    tags = ("index",)

    @get("/", operation_id="get_index", summary="What is served now")
    async def get_index(self, request: Request[Any, Any, Any]) -> ServedIndex:
        """Model, index version, thresholds with their support, and how far each process is behind."""
        desk = desk_of(request)
        return await desk.do(_served_index, desk)

    @get("/versions", operation_id="list_index_versions", summary="Index versions")
    async def list_index_versions(self, request: Request[Any, Any, Any]) -> IndexVersions:
        """The versions that were built, and which one is current."""
        desk = desk_of(request)
        return await desk.do(_versions, desk)


def _served_index(desk: Desk) -> ServedIndex:
    bench = desk.bench
    served = bench.follower.serving.current()
    state = bench.follower.state()
    with bench.database.read() as session:
        current = current_version(session)
        processes = _processes(session, bench.follower.report())
    snapshot, thresholds, drift = served.snapshot, served.thresholds, bench.drift.state
    return ServedIndex(
        version=snapshot.version,
        current_version=None if current is None else current.version,
        model=ModelInfo(served.batcher.encoder.name, snapshot.fingerprint),
        sequence=snapshot.sequence,
        references=snapshot.reference_count,
        pictures=snapshot.picture_count,
        changes_since_version=snapshot.changes_since_version,
        built_at=None if snapshot.manifest is None else snapshot.manifest.built_at,
        feed_behind_s=round(state.behind_s, 3),
        loading=state.loading,
        problem=bench.follower.serving.problem or state.error,
        folding_problem=bench.folding.problem,
        pictures_without_vector=state.pictures_without_vector,
        policy_version=bench.policy.version,
        thresholds_keep_policy=None if thresholds is None else bench.policy.kept_by(served.scale),
        normalisation=served.scale.normalisation,
        thresholds=thresholds,
        copies=CopySearch(
            pdq=bench.hasher is not None,
            pdq_hashes=served.hashes.pdq_count,
            hashes_without_picture=served.hashes.without_picture_count,
        ),
        words=WordSearch(
            references=len(served.words),
            phrases=sum(len(one.phrases) for one in served.words.references.values()),
            problem=served.words_problem,
        ),
        drift=drift,
        drift_warning=None if drift is None else drift.sentence(),
        processes=processes,
    )


def _processes(session: Session, own: ProcessReport) -> list[ServerProcess]:
    """The answering process by what it serves now, the others by their last reports."""
    moment = now()
    others = [report for report in live_processes(session, moment=moment) if report.id != own.id]
    told = sorted([own, *others], key=lambda report: (report.host, report.pid))
    return [_process(session, report, moment, answering=report is own) for report in told]


def _process(session: Session, report: ProcessReport, moment: datetime, *, answering: bool) -> ServerProcess:
    entries, oldest = entries_after(session, report.sequence)
    waiting_s = 0.0 if oldest is None else (moment - oldest).total_seconds()
    return ServerProcess(
        host=report.host,
        pid=report.pid,
        answering=answering,
        started_at=report.started_at,
        # Hosts' clocks differ a little.
        seen_s_ago=round(max(0.0, (moment - report.seen_at).total_seconds()), 3),
        version=report.version,
        model=ModelInfo(report.model, report.fingerprint),
        sequence=report.sequence,
        references=report.references,
        pictures=report.pictures,
        changes_since_version=report.changes_since_version,
        behind_entries=entries,
        behind_s=round(max(waiting_s, report.feed_behind_s), 3),
        loading=report.loading,
        problem=report.problem,
    )


def _versions(desk: Desk) -> IndexVersions:
    on_disk = {entry.version for entry in list_versions(desk.bench.versions_dir)}
    with desk.bench.database.read() as session:
        return IndexVersions(versions(session, limit=500, on_disk=on_disk))
