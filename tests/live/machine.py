"""A catalogue that is changed, built, activated, rolled back and restarted in any order, beside a plain model of it."""

import functools
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from imagescreen.database.index_versions import current_version
from imagescreen.database.session import Database
from imagescreen.jobs.activation import activate
from imagescreen.jobs.reindex import reindex
from imagescreen.jobs.workbench import Workbench, open_workbench
from imagescreen.matching import IndexSnapshot
from imagescreen.references.enrolment import NewPicture, NewReference
from imagescreen.references.follower import Follower
from imagescreen.serving.embed import embed_each, prepare
from imagescreen.serving.loader import Loader
from imagescreen.settings import Settings
from tests.conftest import settings_of
from tests.material import facts, product

POOL = 12
OWN_SIMILARITY = 0.99
SAME = 1e-4
"""The same picture embedded in another batch differs by rounding only."""

HOUR = timedelta(hours=1)
HOURS = st.integers(1, 6)


@dataclass(slots=True)
class Known:
    """What is true of one reference; `pictures` are numbers of the pool by picture id."""

    pictures: dict[int, int]
    state: str
    suspended_until: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def matches_at(self, moment: datetime) -> bool:
        ended = self.suspended_until is not None and self.suspended_until <= moment
        return (
            (self.state == "active" or (self.state == "suspended" and ended))
            and (self.valid_from is None or self.valid_from <= moment)
            and (self.valid_until is None or self.valid_until > moment)
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Made once: an empty home to copy, and the vectors (POOL, d) of the pool's pictures."""

    empty_home: Path
    vectors: NDArray[np.float32] = field(repr=False)


def make_stage(folder: Path) -> Stage:
    with open_workbench(settings_of(folder)) as bench:
        batcher = bench.follower.serving.current().batcher
        pool = [product(number) for number in range(POOL)]
        tensors = [prepare(bench.reader, batcher.encoder, data, bench.reader.header(data)) for data in pool]
        return Stage(folder, np.stack([v for v in embed_each(batcher, tensors) if isinstance(v, np.ndarray)]))


class LiveIndex(RuleBasedStateMachine):
    """`server` looks at the feed after each step, `other` is a second process that looks now and then.

    Both judge time by a clock of the test. It begins a day ahead, because what the catalogue is told (an end of a
    suspension, say) must lie in the future of the real one.
    """

    def __init__(self, stage: Stage, home: Path, index_type: str) -> None:
        super().__init__()
        self.stage = stage
        self.home = home
        self.index_type = index_type
        self.known: dict[UUID, Known] = {}
        self.used_ids: set[int] = set()
        self.versions: list[str] = []
        self.clock = datetime.now(UTC) + 24 * HOUR
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(stage.empty_home, home)
        self._open()
        self.database = Database(self.bench.settings.sqlalchemy_url)
        self.server = self._follower()
        self.other = self._follower()

    def _open(self) -> None:
        self._opened = open_workbench(self._settings())
        self.bench: Workbench = self._opened.__enter__()

    def _settings(self) -> Settings:
        # With so little to do, threads only wait for each other.
        return settings_of(self.home, index_type=self.index_type, torch_threads=1, faiss_threads=1, decode_threads=1)

    def _follower(self) -> Follower:
        return Follower(self.database, Loader(self.bench.settings), poll_s=1, clock=lambda: self.clock)

    def teardown(self) -> None:
        self.server.close()
        self.other.close()
        self._opened.__exit__(None, None, None)
        self.database.close()

    # What analysts do.

    @initialize(numbers=st.sets(st.integers(0, POOL - 1), min_size=2, max_size=4))
    def first_references(self, numbers: set[int]) -> None:
        for number in sorted(numbers):
            self._add([number], "active", {})

    @precondition(lambda self: self._free())
    @rule(
        data=st.data(),
        state=st.sampled_from(["active", "active", "active", "draft"]),
        begins=st.none() | HOURS,
        lasts=st.none() | HOURS,
    )
    def add(self, data: st.DataObject, state: str, begins: int | None, lasts: int | None) -> None:
        numbers = data.draw(st.lists(st.sampled_from(self._free()), min_size=1, max_size=3, unique=True))
        dates: dict[str, datetime] = {}
        if begins is not None:
            dates["valid_from"] = self.clock + begins * HOUR
        if lasts is not None:
            dates["valid_until"] = self.clock + ((begins or 0) + lasts) * HOUR
        self._add(numbers, state, dates)

    @precondition(lambda self: self._free())
    @rule(data=st.data())
    def add_picture(self, data: st.DataObject) -> None:
        reference_id = self._choose(data)
        number = data.draw(st.sampled_from(self._free()))
        self.bench.enrolment.add_pictures(reference_id, [NewPicture("more.jpg", product(number))], actor=None)
        self._note_pictures(reference_id, [number])

    @precondition(lambda self: any(len(known.pictures) > 1 for known in self.known.values()))
    @rule(data=st.data())
    def remove_picture(self, data: st.DataObject) -> None:
        several = [reference_id for reference_id, known in self.known.items() if len(known.pictures) > 1]
        reference_id = data.draw(st.sampled_from(several))
        pictures = self.known[reference_id].pictures
        picture_id = data.draw(st.sampled_from(sorted(pictures)))
        self.bench.catalogue.remove_picture(reference_id, picture_id)
        del pictures[picture_id]

    @rule(data=st.data(), state=st.sampled_from(["active", "suspended", "retired", "draft"]))
    def change_state(self, data: st.DataObject, state: str) -> None:
        self._change(self._choose(data), state=state, suspended_until=None)

    @rule(data=st.data(), hours=HOURS)
    def suspend_until(self, data: st.DataObject, hours: int) -> None:
        self._change(self._choose(data), state="suspended", suspended_until=self.clock + hours * HOUR)

    @rule(data=st.data(), begins=st.none() | st.integers(-3, 6), lasts=st.none() | HOURS)
    def change_validity(self, data: st.DataObject, begins: int | None, lasts: int | None) -> None:
        valid_from = None if begins is None else self.clock + begins * HOUR
        valid_until = None if lasts is None else self.clock + ((begins or 0) + lasts) * HOUR
        self._change(self._choose(data), valid_from=valid_from, valid_until=valid_until)

    # What operators do, and the clock.

    @rule(hours=HOURS)
    def time_passes(self, hours: int) -> None:
        self.clock += hours * HOUR

    @rule()
    def build(self) -> None:
        self.versions.append(reindex(self.bench, built_by="test").manifest.version)

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def activate_an_earlier_version(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.versions))
        activate(self.bench, version, actor="test")

    @rule(process=st.sampled_from(["server", "other", "server and what it stands on"]))
    def restart(self, process: str) -> None:
        if process == "other":
            self.other.close()
            self.other = self._follower()
            return
        self.server.close()
        if process != "server":
            self._opened.__exit__(None, None, None)
            self._open()
        self.server = self._follower()

    @rule()
    def other_processes_look(self) -> None:
        self._look(self.other, self.clock)
        # The one that makes the changes knows the real time only, to which nothing has begun or ended yet.
        self._look(self.bench.follower, datetime.now(UTC))

    # What must hold at any time.

    @invariant()
    def server_is_never_wrong(self) -> None:
        self._look(self.server, self.clock)

    def _look(self, follower: Follower, moment: datetime) -> None:
        follower.poll()
        served = follower.serving.current()
        assert follower.serving.problem is None
        assert served.snapshot.version == self._current_version()
        pictures = {
            picture_id: (reference_id, number)
            for reference_id, known in self.known.items()
            if known.matches_at(moment)
            for picture_id, number in known.pictures.items()
        }
        matching = {reference_id for reference_id, _ in pictures.values()}
        assert served.has_known_items == bool(matching)
        assert served.snapshot.reference_count == len(matching)
        assert served.snapshot.picture_count == len(pictures)
        self._search(served.snapshot, pictures, matching)

    def _search(self, snapshot: IndexSnapshot, pictures: dict[int, tuple[UUID, int]], matching: set[UUID]) -> None:
        similar = self.stage.vectors @ self.stage.vectors.T
        found = snapshot.search(self.stage.vectors, count=POOL, at_least=OWN_SIMILARITY)
        for query, neighbours in enumerate(found):
            for near in neighbours:
                assert near.picture_id in pictures, "what must not match, matches"
                reference_id, number = pictures[near.picture_id]
                assert near.reference_id == reference_id
                assert abs(near.similarity - similar[query, number]) < SAME
            assert {near.reference_id for near in neighbours} == matching, "a reference is lost"
        for reference_id, number in pictures.values():
            (own,) = [near for near in found[number] if near.reference_id == reference_id]
            assert own.similarity >= OWN_SIMILARITY

    # The model.

    def _current_version(self) -> str | None:
        with self.bench.database.read() as session:
            row = current_version(session)
        return None if row is None else row.version

    def _free(self) -> list[int]:
        """Pictures that no reference has at present; a removed one is free again."""
        taken = {number for known in self.known.values() for number in known.pictures.values()}
        return [number for number in range(POOL) if number not in taken]

    def _choose(self, data: st.DataObject) -> UUID:
        return data.draw(st.sampled_from(list(self.known)))

    def _add(self, numbers: Sequence[int], state: str, dates: dict[str, datetime]) -> None:
        told = facts(f"product {numbers[0]}", state=state, **{name: at.isoformat() for name, at in dates.items()})
        pictures = [NewPicture(f"{number}.jpg", product(number)) for number in numbers]
        reference_id = self.bench.enrolment.add_one(NewReference(told, pictures)).reference_id
        self.known[reference_id] = Known({}, state, **dates)
        self._note_pictures(reference_id, numbers)

    def _note_pictures(self, reference_id: UUID, numbers: Sequence[int]) -> None:
        stored = {picture.sha256: picture for picture in self.bench.catalogue.get(reference_id).pictures}
        for number in numbers:
            picture_id = stored[_sha256(number)].reference_picture_id
            assert picture_id not in self.used_ids, "the id of a removed picture came again"
            self.used_ids.add(picture_id)
            self.known[reference_id].pictures[picture_id] = number

    def _change(self, reference_id: UUID, **changes: Any) -> None:
        patch = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in changes.items()}
        self.bench.catalogue.change(reference_id, patch)
        for name, value in changes.items():
            setattr(self.known[reference_id], name, value)


@functools.cache
def _sha256(number: int) -> str:
    return hashlib.sha256(product(number)).hexdigest()
