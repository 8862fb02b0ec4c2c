"""What this process serves, and which index versions there are."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Request, get

from imagescreen.api.work import Desk, desk_of
from imagescreen.calibration.thresholds import Thresholds
from imagescreen.database.index_versions import IndexVersionSummary, current_version, versions
from imagescreen.screening.answer import ModelInfo


class ServedIndex(msgspec.Struct, frozen=True):
    """`problem` says why something else is current in the database; `thresholds` is null before calibration.

    `thresholds_keep_policy` is false when the policy's rates changed after the thresholds were measured: rebuild.
    """

    version: str | None
    current_version: str | None
    model: ModelInfo
    sequence: int
    references: int
    pictures: int
    built_at: datetime | None
    feed_behind_s: float
    problem: str | None
    pictures_without_vector: int
    policy_version: str
    thresholds_keep_policy: bool | None
    thresholds: Thresholds | None


class IndexVersions(msgspec.Struct, frozen=True):
    """Newest first, at most 500."""

    items: list[IndexVersionSummary]


class IndexController(Controller):
    path = "/v1/index"
    tags = ("index",)

    @get("/", operation_id="get_index", summary="What is served now")
    async def get_index(self, request: Request[Any, Any, Any]) -> ServedIndex:
        """Model, index version, thresholds with their support, and how far this process is behind."""
        desk = desk_of(request)
        return await desk.do(_served_index, desk)

    @get("/versions", operation_id="list_index_versions", summary="Index versions")
    async def list_versions(self, request: Request[Any, Any, Any]) -> IndexVersions:
        """The versions that were built, and which one is current."""
        desk = desk_of(request)
        return await desk.do(_versions, desk)


def _served_index(desk: Desk) -> ServedIndex:
    bench = desk.bench
    served = bench.follower.serving.current()
    state = bench.follower.state()
    with bench.database.read() as session:
        current = current_version(session)
    snapshot, thresholds = served.snapshot, served.thresholds
    return ServedIndex(
        version=snapshot.version,
        current_version=None if current is None else current.version,
        model=ModelInfo(served.batcher.encoder.name, snapshot.fingerprint),
        sequence=snapshot.sequence,
        references=snapshot.reference_count,
        pictures=snapshot.picture_count,
        built_at=None if snapshot.manifest is None else snapshot.manifest.built_at,
        feed_behind_s=round(state.behind_s, 3),
        problem=bench.follower.serving.problem or state.error,
        pictures_without_vector=state.pictures_without_vector,
        policy_version=bench.policy.version,
        thresholds_keep_policy=None if thresholds is None else bench.policy.kept_by(thresholds),
        thresholds=thresholds,
    )


def _versions(desk: Desk) -> IndexVersions:
    with desk.bench.database.read() as session:
        return IndexVersions(versions(session, limit=500))
