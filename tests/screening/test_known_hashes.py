"""A picture's hash is remembered, and read from earlier screenings, so that it is not decoded for it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import select, update

from imagescreen.database.feed import now
from imagescreen.database.tables import ScreeningPictureRow, ScreeningRow
from imagescreen.jobs.workbench import Store, Workbench, new_reader, open_store, open_workbench
from imagescreen.pictures import PdqHasher, PictureHash
from imagescreen.references.sample.catalogue import cleared_sample_picture
from imagescreen.references.sample.rendered import jpeg_bytes, render_product
from imagescreen.screening.answer import Disposition, PictureStatus, ReasonCode, ScreeningAnswer
from imagescreen.screening.known_hashes import KnownHashes, to_blob
from imagescreen.screening.package import Package, SubmittedPicture
from imagescreen.screening.policy import read_policy, record_policy
from tests.conftest import settings_of
from tests.material import product

pytest.importorskip("pdqhash")


class CountingHasher(PdqHasher):
    """The real one, which counts what it hashes."""

    hashed = 0

    def hash(self, image):  # type: ignore[no-untyped-def]
        self.hashed += 1
        return super().hash(image)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(settings_of(tmp_path)) as opened:
        yield opened


def known_hashes(store: Store) -> tuple[KnownHashes, CountingHasher]:
    hasher = CountingHasher.installed()
    assert hasher is not None
    return KnownHashes(store.database, new_reader(store.settings), hasher, max_pictures=10), hasher


def test_a_picture_is_hashed_once_and_never_again_in_another_process(store: Store) -> None:
    known, hasher = known_hashes(store)
    data = product(1)
    header = new_reader(store.settings).header(data)
    (first,) = known.of([(header, data)], reduce_to=128)
    assert isinstance(first, PictureHash)
    for again in known.of([(header, data)] * 2, reduce_to=128):
        assert isinstance(again, PictureHash)
        assert to_blob(again) == to_blob(first)
    assert hasher.hashed == 1

    policy = read_policy(None)
    record_policy(store.database, policy)
    screening_id = uuid4()
    with store.database.write() as session:
        session.add(
            ScreeningRow(
                id=screening_id,
                participant="",
                package_id="PKG-1",
                revision=1,
                content_hash="x",
                disposition="clear",
                incomplete=False,
                package="{}",
                answer="{}",
                fingerprint="x",
                index_version="x",
                sequence=1,
                policy_version=policy.version,
                screened_at=now(),
            )
        )
        session.flush()
        session.add(
            ScreeningPictureRow(
                screening_id=screening_id,
                position=0,
                status="screened",
                sha256=header.sha256,
                stored=False,
                pdq=to_blob(first),
            )
        )
    other, hasher = known_hashes(store)
    (again,) = other.of([(header, data)], reduce_to=128)
    assert isinstance(again, PictureHash)
    assert hasher.hashed == 0
    assert again.quality == first.quality and np.array_equal(again.bits, first.bits)


def screened(bench: Workbench, package_id: str, *pictures: bytes) -> ScreeningAnswer:
    return bench.screener.screen(Package(package_id), [SubmittedPicture(data) for data in pictures]).answer


def test_a_known_picture_that_cannot_be_decoded_any_more_is_told_as_unreadable_and_not_cleared(
    sample_copy: Path,
) -> None:
    cleared = cleared_sample_picture()
    cut = cleared[: len(cleared) * 3 // 4]
    with open_workbench(settings_of(sample_copy)) as bench:
        assert screened(bench, "first", cleared).disposition is Disposition.CLEAR
        with bench.database.write() as session:
            # As if a decoder of before had read the cut file, in a process without the extra.
            known = {"sha256": hashlib.sha256(cut).hexdigest(), "pdq": None}
            session.execute(update(ScreeningPictureRow).values(known))
    with open_workbench(settings_of(sample_copy, cache_in_database=True)) as bench:
        answer = screened(bench, "second", cut, cleared)
    told, other = answer.pictures
    assert (told.status, told.matches, other.status) == (PictureStatus.UNREADABLE, [], PictureStatus.SCREENED)
    assert told.problem is not None and "truncated" in told.problem.detail
    assert (answer.disposition, answer.incomplete) == (Disposition.REVIEW, True)
    assert [(reason.code, reason.position) for reason in answer.reasons] == [(ReasonCode.PICTURE_NOT_SCREENED, 0)]


def test_the_hash_is_the_same_whether_the_picture_was_decoded_for_its_vector_or_for_its_hash_alone(
    sample_copy: Path,
) -> None:
    # So large that it is read at another scale for another input side.
    large = jpeg_bytes(render_product(123, size=(1100, 1300)).image)
    hashes = []
    for name in ("decoded for both", "vector known"):
        with open_workbench(settings_of(sample_copy, cache_in_database=True)) as bench:
            answer = screened(bench, name, large)
            of_answer = ScreeningPictureRow.screening_id == answer.screening_id
            with bench.database.write() as session:
                hashes.append(session.execute(select(ScreeningPictureRow.pdq).where(of_answer)).scalar_one())
                session.execute(update(ScreeningPictureRow).where(of_answer).values(pdq=None))
    assert hashes[0] is not None and hashes[0] == hashes[1]
